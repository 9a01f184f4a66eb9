"""CEBRA (Schneider, Lee & Mathis 2023), trained on every animal by itself and aligned linearly afterwards.

Labels are the first principal components of the Gabor features of what was shown, low-passed as the indicator does.
Every animal's embedding is mapped into that of one reference animal by what both saw in their training parts; from
there one linear map, fitted on the trained animals, leads to the stimulus features. No two runs are the same, since
the batches of version 0.6 cannot be seeded. The package is an extra: ``pip install 'nwb_mivae[cebra]'``.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import ClipStore
from nwb_mivae.errors import EvaluationError
from nwb_mivae.evaluation import ConditionMetrics, metrics
from nwb_mivae.evaluation.conditions import both_ways, condition_metrics
from tests.benchmarks.alignment.baselines.animals import Embedded, between_animals, shared_clips, shared_frames
from tests.benchmarks.alignment.baselines.choosing import mean_reciprocal_rank
from tests.benchmarks.alignment.baselines.features import StimulusFeatures
from tests.benchmarks.alignment.baselines.figures import SessionFigures, certain, session_figures
from tests.benchmarks.alignment.baselines.indicator import through_indicator
from tests.benchmarks.alignment.baselines.recordings import Recording
from tests.benchmarks.alignment.baselines.regression import Ridge
from tests.benchmarks.alignment.baselines.ridge import error_whitening

SEEN = (
    "the training part of the new animal's own recording, with the stimulus, for a network trained on that "
    "animal by gradient descent; then those frames of it that a reference animal saw too, for a linear map into the "
    "reference's space"
)
LABELS = 16
DIMENSIONS = 32
ITERATIONS = 1000

FloatArray = npt.NDArray[np.float32]

#: Frames that ``offset10-model`` reads before and after each: what a clip lacks of them repeats its end frames.
_REACH = 5
_LABEL_DECAY = 0.2
_PENALTIES = (0.001, 0.01, 0.1, 1.0)


def require() -> ModuleType:
    """The package, imported now, so that its absence is noticed before hours of work.

    Raises
    ------
    EvaluationError
        If it is not installed.
    """
    try:
        import cebra
    except ImportError as problem:
        raise EvaluationError(
            "no package cebra, which the baseline of that name needs",
            expected="cebra 0.6",
            remedy="pip install 'nwb_mivae[cebra]', or leave the baseline out",
        ) from problem
    return cebra


def embedding(
    recording: Recording, labels: StimulusFeatures, *, iterations: int = ITERATIONS, seed: int = 0
) -> Embedded:
    """One animal in the space of a CEBRA model of its own.

    Raises
    ------
    EvaluationError
        If the package is not installed.
    """
    model = _fitted(recording, labels, iterations, seed)

    def embed_clips(activity: FloatArray) -> FloatArray:
        n_frames = activity.shape[1]
        padded = np.pad(activity, ((0, 0), (_REACH, _REACH), (0, 0)), mode="edge")
        embedded = np.asarray(model.transform(padded.reshape(-1, padded.shape[-1])), dtype=np.float32)
        whole: FloatArray = embedded.reshape(len(activity), n_frames + 2 * _REACH, -1)[:, _REACH : _REACH + n_frames]
        return whole

    def embed_rows(rows: npt.NDArray[np.int64]) -> FloatArray:
        embedded: FloatArray = np.asarray(model.transform(recording.activity[rows]), dtype=np.float32)
        return embedded

    return Embedded.of(recording, embed_rows, embed_clips)


def aligned(animals: Sequence[Embedded]) -> list[Embedded]:
    """Every animal in the space of the first trained one; one that shares nothing with it is left out."""
    reference = next(each for each in animals if not each.held_out)
    found = []
    for animal in animals:
        if animal is reference:
            found.append(animal)
            continue
        source, target = shared_frames(animal, reference)
        if len(source) >= 2:
            found.append(_into(animal, reference, source, target))
    return found


def between(animals: Sequence[Embedded]) -> dict[str, SessionFigures]:
    """Figures of every aligned animal against every trained one, both ways."""

    def compare(a: Embedded, b: Embedded) -> tuple[ConditionMetrics, dict[str, Any]] | None:
        clips = shared_clips(a.test, b.test)
        if clips is None:
            return None
        return both_ways(certain(clips[0]), certain(clips[1]), "centred_cosine"), {"a": a.key, "b": b.key}

    return between_animals(animals, compare)


def to_stimulus(animals: Sequence[Embedded], features: StimulusFeatures, store: ClipStore) -> dict[str, SessionFigures]:
    """Test clips of every aligned animal looked up among stimulus features, through one map of the trained ones."""
    row_of_content = np.argsort(store.content_of_row)
    trained = [each for each in animals if not each.held_out]
    inputs = np.concatenate([each.frames for each in trained])
    targets = np.concatenate([features(row_of_content[each.shown]) for each in trained])
    input_mean, target_mean = inputs.mean(axis=0), targets.mean(axis=0)
    inputs, targets = inputs - input_mean, targets - target_mean
    best, best_score = None, -np.inf
    for penalty, weights, covariance in Ridge(inputs).path(targets, _PENALTIES):
        whitening = error_whitening(covariance)
        scores = []
        for each in trained:
            if len(each.validation) < 2:
                continue
            content = np.stack([np.frombuffer(shown, dtype=np.int64) for shown in each.validation])
            predicted = (np.stack(list(each.validation.values())) - input_mean) @ weights
            shown = features(row_of_content[content]) - target_mean
            distance = 1.0 - metrics.centred_cosine_similarity(predicted @ whitening, shown @ whitening)
            scores.append(mean_reciprocal_rank(distance, np.arange(len(content))))
        score = float(np.mean(scores)) if scores else penalty
        if score > best_score:
            best, best_score = (penalty, weights, whitening), score
    assert best is not None
    penalty, weights, whitening = best
    found = {}
    for each in animals:
        candidates = features(row_of_content[each.clips.content[each.clips.first]]) - target_mean
        figures = condition_metrics(
            certain((each.queries - input_mean) @ weights @ whitening),
            certain(candidates @ whitening),
            each.clips.target,
            "centred_cosine",
        )
        found[each.key] = session_figures(figures, held_out=each.held_out, chosen={"penalty": penalty})
    return found


def _fitted(recording: Recording, labels: StimulusFeatures, iterations: int, seed: int) -> Any:
    package = require()
    import torch

    rows = recording.train_rows
    shown = through_indicator(labels(recording.stimulus_row[rows]), _LABEL_DECAY, recording.frame_rate)
    model = package.CEBRA(
        model_architecture="offset10-model",
        conditional="time_delta",
        time_offsets=10,
        batch_size=256,
        temperature=1.0,
        learning_rate=1e-3,
        output_dimension=min(DIMENSIONS, recording.activity.shape[1]),
        num_hidden_units=32,
        max_iterations=iterations,
        device="cuda" if torch.cuda.is_available() else "cpu",
        verbose=False,
    )
    # Weights follow from the seed. Batches do not: the package's samplers ignore seeds and draw their own.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return model.fit(recording.activity[rows], np.ascontiguousarray(shown))


def _into(animal: Embedded, reference: Embedded, source: FloatArray, target: FloatArray) -> Embedded:
    """The animal in the reference's space, by the map under which their common validation clips find each other."""
    centre, goal = source.mean(axis=0), target.mean(axis=0)
    source, target = source - centre, target - goal
    left, _, right = np.linalg.svd(source.T @ target, full_matrices=False)
    maps = [left @ right, *(fit.weights for fit in Ridge(source).path(target, _PENALTIES))]
    clips = shared_clips(animal.validation, reference.validation)
    best = maps[0]
    if clips is not None:
        same = np.arange(len(clips[0]))
        scores = []
        for change in maps:
            distance = 1.0 - metrics.centred_cosine_similarity((clips[0] - centre) @ change, clips[1] - goal)
            scores.append(mean_reciprocal_rank(distance, same))
        best = maps[int(np.argmax(scores))]
    return animal.mapped(lambda values: ((values - centre) @ best + goal).astype(np.float32))
