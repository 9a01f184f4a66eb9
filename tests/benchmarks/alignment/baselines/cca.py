"""Canonical correlation analysis between two animals, on what both saw.

Each animal's activity is reduced to principal components of its whole training part; canonical directions come from
the frames of the training part that both saw, averaged over repeats, with covariances shrunk towards their diagonal
mean. Dimensions are weighed by their canonical correlation. Components and shrinkage are chosen for each pair on the
validation clips that both saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import ConditionMetrics, metrics
from nwb_mivae.evaluation.conditions import both_ways
from tests.benchmarks.alignment.baselines.animals import Embedded, between_animals, shared_clips, shared_frames
from tests.benchmarks.alignment.baselines.choosing import mean_reciprocal_rank
from tests.benchmarks.alignment.baselines.figures import SessionFigures, certain
from tests.benchmarks.alignment.baselines.recordings import Recording

SEEN = (
    "those frames of the new animal's training part that the other animal saw too, with the knowledge which they are, "
    "for a pair of projections of its own with every other animal; and its training part for components"
)

FloatArray = npt.NDArray[np.float32]

_COMPONENTS = (20, 50, 100, 200)
_SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)


def components(recording: Recording) -> Embedded:
    """An animal's activity in the principal components of its training part, largest first."""
    train = recording.activity[recording.train_rows]
    mean = train.mean(axis=0)
    covariance = (train - mean).T @ (train - mean) / len(train)
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    basis = vectors[:, np.argsort(values)[::-1][: _COMPONENTS[-1]]].astype(np.float32)

    def project(activity: FloatArray) -> FloatArray:
        projected: FloatArray = (activity - mean) @ basis
        return projected

    return Embedded.of(recording, lambda rows: project(recording.activity[rows]), project)


def cca(animals: Sequence[Embedded]) -> dict[str, SessionFigures]:
    """Figures of every animal of which :func:`components` were taken, against every trained one, both ways."""
    return between_animals(animals, _compare)


def _compare(a: Embedded, b: Embedded) -> tuple[ConditionMetrics, dict[str, Any]] | None:
    tested, frames = shared_clips(a.test, b.test), shared_frames(a, b)
    if tested is None or len(frames[0]) < 2:
        return None
    validation = shared_clips(a.validation, b.validation)
    best, best_score = None, -np.inf
    most = min(a.frames.shape[1], b.frames.shape[1])
    for count, shrinkage in product(dict.fromkeys(min(count, most) for count in _COMPONENTS), _SHRINKAGES):
        of_a, of_b, centres = _canonical(frames[0][:, :count], frames[1][:, :count], shrinkage)
        projections = ((centres[0], of_a), (centres[1], of_b))
        # Without validation clips the strongest shrinkage is the safer choice.
        score = shrinkage if validation is None else _score(*_projected(validation, projections))
        if score > best_score:
            best, best_score = (count, shrinkage, projections), score
    assert best is not None
    count, shrinkage, projections = best
    first, second = _projected(tested, projections)
    figures = both_ways(certain(first), certain(second), "centred_cosine")
    return figures, {"a": a.key, "b": b.key, "components": count, "shrinkage": shrinkage, "frames": len(frames[0])}


def _canonical(
    a: FloatArray, b: FloatArray, shrinkage: float
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
    """Projections of both, each dimension with the root of its canonical correlation, and both centres."""
    centres = a.mean(axis=0), b.mean(axis=0)
    a, b = a - centres[0], b - centres[1]
    whiten_a, whiten_b = _whitening(a, shrinkage), _whitening(b, shrinkage)
    left, correlation, right = np.linalg.svd(whiten_a.T @ (a.T @ b / len(a)) @ whiten_b, full_matrices=False)
    weight = np.sqrt(np.maximum(correlation, 0.0))
    return whiten_a @ (left * weight), whiten_b @ (right.T * weight), centres


def _whitening(values: FloatArray, shrinkage: float) -> npt.NDArray[np.float64]:
    covariance = (values.T @ values / len(values)).astype(np.float64)
    size = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    shrunk = (1 - shrinkage) * covariance + shrinkage * size * np.eye(len(covariance))
    eigenvalues, vectors = np.linalg.eigh(shrunk)
    whitening: npt.NDArray[np.float64] = (vectors / np.sqrt(np.maximum(eigenvalues, 1e-9 * size))) @ vectors.T
    return whitening


def _projected(
    clips: tuple[FloatArray, FloatArray], projections: tuple[tuple[FloatArray, FloatArray], ...]
) -> tuple[FloatArray, FloatArray]:
    (centre_a, of_a), (centre_b, of_b) = projections
    return (clips[0][..., : len(centre_a)] - centre_a) @ of_a, (clips[1][..., : len(centre_b)] - centre_b) @ of_b


def _score(a: FloatArray, b: FloatArray) -> float:
    distance = 1.0 - metrics.centred_cosine_similarity(a, b)
    same = np.arange(len(a))
    return mean_reciprocal_rank(distance, same) + mean_reciprocal_rank(distance.T, same)
