"""The protocol: which clips, under which conditions, and what the figures say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import evenly
from nwb_mivae.errors import EvaluationError, StoreError
from nwb_mivae.evaluation import metrics
from nwb_mivae.evaluation.conditions import (
    Posterior,
    both_ways,
    condition_metrics,
    mean_metrics,
    shuffled_pairs_metrics,
    undefined_metrics,
)
from nwb_mivae.evaluation.configuration import EvaluationConfiguration
from nwb_mivae.evaluation.embedding import (
    Population,
    SessionEmbedding,
    StimulusEmbedding,
    concatenate,
    embed_session,
    untrained_module,
)
from nwb_mivae.evaluation.result import AcrossAnimals, Evaluation, SessionEvaluation
from nwb_mivae.evaluation.summary import summarise
from nwb_mivae.inference import session_context

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.model import MiVAEModule

__all__ = ["evaluate"]

#: Similarity matrices are for looking at: beyond so many clips, so many are taken evenly.
_SIMILARITY_CLIPS = 200


def evaluate(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    *,
    configuration: EvaluationConfiguration | None = None,
    seed: int = 0,
    weights_sha256: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Judge a module on the test clips of every session, held out or trained, beside its controls.

    For every session ``z_xc`` of each test clip is looked up among ``z_yc`` of all different test clips of that
    session (clips that show the same pixels are one candidate), under these conditions:

    ``with_context``
        Context from the whole training part of that animal's own recording.
    ``without_context``
        Coordinates alone: the only setting comparable with the published one.
    ``untrained``
        The same architecture with fresh weights, both encoders, and its own context; mean over ``control_draws``. Two
        unrelated random maps agree by accident only, so that this is at chance whatever the context holds.
    ``untrained_readout``
        What the closed form does before any gradient step: features predicted by the ridge read-out of those untrained
        models, looked up among the features themselves by centred cosine (the better distance for it, since a ridge
        shrinks); mean over ``control_draws``, not defined for designs without context. Features behind a front end
        are the trained model's own, since nothing of them is learned by gradient; those of a convolutional encoder
        are random. It is above chance, with a front end by far, and what training is worth is what lies above it.
    ``shuffled_pairs``
        Latents with context, each scored as another clip; mean over ``pair_shuffles`` derangements.
    ``permuted_neurons``
        Activity of the test clips given to the wrong neurons (coordinates and context stay); mean over
        ``control_draws`` orders, none of which leaves a neuron in place.

    Parameters
    ----------
    module : MiVAEModule
        Left as it was, in its mode and on its device.
    store, split : ClipStore, Split
        Where the clips lie, and which are test clips.
    configuration : EvaluationConfiguration, optional
    seed : int
        Where the controls' randomness starts.
    weights_sha256 : str
        What :func:`~nwb_mivae.model.weights_digest` says of the module's folder; kept with the result.
    progress : callable, optional
        Told ``(description, done, total)``.

    Returns
    -------
    Evaluation
        Sessions with fewer than two different test clips are left out, and the summary's verdicts say so.

    Raises
    ------
    EvaluationError
        If no session has two different test clips, or latents are not finite.
    """
    settings = configuration or EvaluationConfiguration()
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            result = _evaluate(module, store, split, settings, seed, progress or _silence)
            return replace(result, weights_sha256=weights_sha256)
    finally:
        module.train(was_training)


def _evaluate(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    configuration: EvaluationConfiguration,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> Evaluation:
    held_out = [key for key in split.held_out_sessions if key in store.sessions]
    trained = [key for key in split.train_sessions if key in store.sessions]
    starts = {key: _test_starts(module, store, split, key, configuration.clips) for key in [*held_out, *trained]}
    left_out = [key for key, some in starts.items() if some is None]
    if len(left_out) == len(starts):
        raise EvaluationError(
            "fewer than two different test clips in every session",
            expected=f"at least two whole clips of {module.shape.clip_frames} frames in the test part of one session",
            remedy="raise split.test_fraction, prepare longer recordings, or train on shorter clips",
            file=store.path,
        )
    generators = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2 + len(starts))]
    fresh = [untrained_module(module, int(generators[0].integers(2**31))) for _ in range(configuration.control_draws)]
    trained_stimuli = StimulusEmbedding(module)
    fresh_stimuli = [StimulusEmbedding(each) for each in fresh]
    embeddings: dict[str, SessionEmbedding] = {}
    sessions: dict[str, SessionEvaluation] = {}
    for number, (key, some) in enumerate(starts.items()):
        progress("Encoding test clips", number, len(starts))
        if some is None:
            continue
        n_cells = store.sessions[key].n_cells
        context = session_context(module, store, split, key)
        populations = {
            "with_context": Population(module, context),
            "without_context": Population(module, None),
        }
        for draw, untrained in enumerate(fresh):
            its_own = session_context(untrained, store, split, key, clips=configuration.untrained_context_clips)
            populations[f"untrained {draw}"] = Population(untrained, its_own)
        if n_cells > 1:
            for draw in range(configuration.control_draws):
                order = metrics.derangement(n_cells, generators[2 + number])
                populations[f"permuted_neurons {draw}"] = Population(module, context, order)
        embedding = embed_session(
            store,
            split,
            key,
            some,
            populations,
            [trained_stimuli, *fresh_stimuli],
            clips_at_once=configuration.clips_at_once,
        )
        sessions[key] = SessionEvaluation(
            held_out=key in held_out,
            subject=store.sessions[key].subject,
            n_cells=n_cells,
            conditions=_conditions(embedding, trained_stimuli, fresh_stimuli, configuration, generators[1]),
        )
        # Only these are needed once more, between animals; over many sessions the rest would fill the memory.
        embeddings[key] = embedding.only("with_context")
    progress("Encoding test clips", len(starts), len(starts))

    first_of = {key: _first_showings(embedding) for key, embedding in embeddings.items()}
    across = _across(sessions, embeddings, first_of, configuration)
    looked_at = [key for key in held_out if key in sessions] or list(sessions)[:1]
    headline = [each["conditions"]["with_context"] for each in sessions.values()]
    return Evaluation(
        chance=float(np.mean([1.0 / each["n_clips"] for each in headline])),
        n_clips=min(each["n_clips"] for each in headline),
        content_disjoint=bool(split.content_disjoint),
        sessions=sessions,
        across=across,
        similarity={key: _similarity(embeddings[key], trained_stimuli) for key in looked_at},
        active_units=_active_units(embeddings, trained_stimuli),
        summary=summarise(sessions, across, content_disjoint=split.content_disjoint, left_out=left_out),
        settings={"configuration": configuration.model_dump(mode="json"), "seed": seed},
    )


def _test_starts(
    module: MiVAEModule, store: ClipStore, split: Split, key: str, clips: int | None
) -> npt.NDArray[np.int64] | None:
    frames = module.shape.clip_frames
    try:
        starts = split.clip_starts(store.sessions[key], "test", n_frames=frames, stride=frames)
    except StoreError:
        # No unbroken stretch of this session is as long as a clip; the others can still be judged.
        return None
    starts = evenly(starts, clips)
    if len(starts) == 0:
        return None
    content = np.asarray(store.sessions[key].content)[starts[:, None] + np.arange(frames)]
    different, _ = metrics.distinct_clips(content)
    return starts if len(different) > 1 else None


def _conditions(
    embedding: SessionEmbedding,
    trained: StimulusEmbedding,
    fresh: list[StimulusEmbedding],
    configuration: EvaluationConfiguration,
    generator: np.random.Generator,
) -> dict[str, Any]:
    first, target = metrics.distinct_clips(embedding.content)
    shown = embedding.content[first]
    candidates = trained.shared(shown)
    distance = configuration.distance
    readout = [
        condition_metrics(embedding.predicted[name], stimuli.features(shown), target, "centred_cosine")
        for draw, stimuli in enumerate(fresh)
        if (name := f"untrained {draw}") in embedding.predicted
    ]
    permuted = [
        condition_metrics(posterior, candidates, target, distance)
        for name, posterior in embedding.shared.items()
        if name.startswith("permuted_neurons")
    ]
    return {
        "with_context": condition_metrics(embedding.shared["with_context"], candidates, target, distance),
        "without_context": condition_metrics(embedding.shared["without_context"], candidates, target, distance),
        "untrained": mean_metrics(
            [
                condition_metrics(embedding.shared[f"untrained {draw}"], stimuli.shared(shown), target, distance)
                for draw, stimuli in enumerate(fresh)
            ]
        ),
        "untrained_readout": mean_metrics(readout) if readout else undefined_metrics(len(first)),
        "shuffled_pairs": shuffled_pairs_metrics(
            embedding.shared["with_context"],
            candidates,
            target,
            distance,
            shuffles=configuration.pair_shuffles,
            generator=generator,
        ),
        "permuted_neurons": mean_metrics(permuted) if permuted else undefined_metrics(len(first)),
    }


def _first_showings(embedding: SessionEmbedding) -> dict[bytes, int]:
    first, _ = metrics.distinct_clips(embedding.content)
    return {embedding.content[clip].tobytes(): int(clip) for clip in first}


def _across(
    sessions: Mapping[str, SessionEvaluation],
    embeddings: Mapping[str, SessionEmbedding],
    first_of: Mapping[str, Mapping[bytes, int]],
    configuration: EvaluationConfiguration,
) -> list[AcrossAnimals]:
    found: list[AcrossAnimals] = []
    for a, b in combinations(sessions, 2):
        both = [shown for shown in first_of[a] if shown in first_of[b]]
        if sessions[a]["subject"] == sessions[b]["subject"] or len(both) < 2:
            continue
        of_a, of_b = (
            embeddings[key].shared["with_context"].of_clips(np.array([first_of[key][shown] for shown in both]))
            for key in (a, b)
        )
        figures = both_ways(of_a, of_b, configuration.distance)
        held_out = sessions[a]["held_out"] or sessions[b]["held_out"]
        found.append(AcrossAnimals(a=a, b=b, held_out=held_out, **figures))
    return found


def _similarity(embedding: SessionEmbedding, stimuli: StimulusEmbedding) -> list[list[float]]:
    first, _ = metrics.distinct_clips(embedding.content)
    first = evenly(first, _SIMILARITY_CLIPS)
    cosine = metrics.centred_cosine_similarity(
        embedding.shared["with_context"].mean[first], stimuli.shared(embedding.content[first]).mean
    )
    rows: list[list[float]] = cosine.round(4).tolist()
    return rows


def _active_units(embeddings: Mapping[str, SessionEmbedding], stimuli: StimulusEmbedding) -> dict[str, int]:
    shown = np.concatenate([each.content for each in embeddings.values()])
    blocks: dict[str, Posterior] = {
        "neural_shared": concatenate([each.shared["with_context"] for each in embeddings.values()]),
        "neural_private": concatenate([each.private["with_context"] for each in embeddings.values()]),
        "stimulus_shared": stimuli.shared(shown),
        "stimulus_private": stimuli.private(shown),
    }
    return {name: metrics.active_units(*posterior) for name, posterior in blocks.items()}


def _silence(description: str, done: int, total: int) -> None:
    """Tell nobody."""
