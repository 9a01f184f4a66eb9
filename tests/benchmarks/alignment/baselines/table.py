"""All baselines on one store and split: the rows that a learned encoder stands beside."""

from __future__ import annotations

from nwb_mivae.clips import ClipStore, Split
from tests.benchmarks.alignment.baselines import cca, encoding, ridge
from tests.benchmarks.alignment.baselines import cebra as cebra_baseline
from tests.benchmarks.alignment.baselines.animals import Embedded
from tests.benchmarks.alignment.baselines.features import StimulusFeatures
from tests.benchmarks.alignment.baselines.figures import Baseline, SessionFigures, baseline, session_figures
from tests.benchmarks.alignment.baselines.recordings import recordings
from tests.benchmarks.alignment.baselines.ridge import Readout

_PARTNERS = "; compared with every trained animal by the clips that both saw"


def baselines(
    store: ClipStore,
    split: Split,
    *,
    clips: int | None,
    n_frames: int = 16,
    context_clips: int | None = None,
    seed: int = 0,
    cebra: bool = False,
) -> dict[str, Baseline]:
    """Figures of every baseline on the test clips that :func:`nwb_mivae.evaluation.evaluate` takes.

    Nothing is fitted on test clips. The rows ``*_between`` are lookups between animals; all others find the clip shown
    among all different test clips of the session.

    Parameters
    ----------
    store, split : ClipStore, Split
        Where the clips lie, and which are test clips.
    clips : int or None
        At most so many test clips per session, as in the evaluation's configuration.
    n_frames : int
        Frames of a clip.
    context_clips : int, optional
        So many clips of each animal's training part, the first ones, instead of all: what a model with as much
        context compares with.
        Standardisation, and the validation part that settings are chosen on, stay whole.
    seed : int
        Of whatever is random: the first weights of CEBRA, whose batches nobody can seed.
    cebra : bool
        Whether to train CEBRA on every animal too, which takes longer than all the others and needs its package.

    Returns
    -------
    dict of str to Baseline
        JSON-able.

    Raises
    ------
    EvaluationError
        If no session can be judged, or CEBRA is asked for and not installed.
    """
    split.check(store)
    if cebra:
        cebra_baseline.require()
    pixels = StimulusFeatures(store, split, "pixels", components=ridge.COMPONENTS, whiten=True)
    gabor = StimulusFeatures(store, split, "gabor", components=ridge.COMPONENTS, whiten=True)
    phases = StimulusFeatures(store, split, "gabor_phases", components=encoding.COMPONENTS)
    labels = StimulusFeatures(store, split, "gabor", components=cebra_baseline.LABELS)
    of_pixels: dict[str, SessionFigures] = {}
    of_gabor: dict[str, SessionFigures] = {}
    of_encoding: dict[str, SessionFigures] = {}
    readouts: dict[str, Readout] = {}
    predicted: list[Embedded] = []
    reduced: list[Embedded] = []
    embedded: list[Embedded] = []
    for recording in recordings(store, split, clips=clips, n_frames=n_frames, context_clips=context_clips):
        key, held_out = recording.key, recording.held_out
        inputs = ridge.readout_inputs(recording)
        figures, readout = ridge.ridge(recording, inputs, pixels)
        of_pixels[key] = session_figures(figures, held_out=held_out, chosen=readout.chosen)
        figures, readouts[key] = ridge.ridge(recording, inputs, gabor)
        of_gabor[key] = session_figures(figures, held_out=held_out, chosen=readouts[key].chosen)
        del inputs  # as large as everything else together
        figures, chosen = encoding.encoding(recording, phases)
        of_encoding[key] = session_figures(figures, held_out=held_out, chosen=chosen)
        predicted.append(ridge.predictions(recording, readouts[key]))
        reduced.append(cca.components(recording))
        if cebra:
            embedded.append(cebra_baseline.embedding(recording, labels, seed=seed))
    found = {
        "ridge_pixels": baseline("per-animal ridge to pixels", ridge.SEEN, of_pixels),
        "ridge_gabor": baseline("per-animal ridge to Gabor energies", ridge.SEEN, of_gabor),
        "encoding": baseline("per-animal encoding model", encoding.SEEN, of_encoding),
        "ridge_between": baseline(
            "between animals: features that two per-animal ridges predict",
            ridge.SEEN + _PARTNERS,
            ridge.between(predicted, readouts),
        ),
        "cca_between": baseline("between animals: CCA of every pair", cca.SEEN + _PARTNERS, cca.cca(reduced)),
    }
    if cebra:
        embedded = cebra_baseline.aligned(embedded)
        found["cebra"] = baseline(
            "CEBRA per animal, aligned linearly, to Gabor energies",
            cebra_baseline.SEEN,
            cebra_baseline.to_stimulus(embedded, gabor, store),
        )
        found["cebra_between"] = baseline(
            "between animals: CEBRA per animal, aligned linearly",
            cebra_baseline.SEEN + _PARTNERS,
            cebra_baseline.between(embedded),
        )
    if context_clips is not None:
        for row in found.values():
            row["seen"] += f"; here only {context_clips} clips of the training part"
    return found
