"""Per-animal encoding model: stimulus features to neurons, and the clip whose expected activity explains best.

Ridge regression from Gabor features, low-passed as the indicator does, to every neuron; then Bayes classification of
a clip with Gaussian noise, whose covariance over neurons is that of the regression's errors in training and whose
covariance over the frames of a clip is that of its errors in validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import ConditionMetrics, metrics
from nwb_mivae.evaluation.conditions import condition_metrics
from tests.benchmarks.alignment.baselines.choosing import mean_reciprocal_rank
from tests.benchmarks.alignment.baselines.features import StimulusFeatures
from tests.benchmarks.alignment.baselines.figures import certain
from tests.benchmarks.alignment.baselines.indicator import through_indicator
from tests.benchmarks.alignment.baselines.recordings import Recording
from tests.benchmarks.alignment.baselines.regression import Ridge

SEEN = (
    "the training part of the new animal's own recording, with the stimulus, for an encoding model and a noise "
    "covariance of its own; its validation part for the penalty, the shrinkage and the noise's course in time"
)
COMPONENTS = 800

FloatArray = npt.NDArray[np.float32]

#: Time constant of the indicator, and the seconds by which the same features enter once more, later.
_DECAY = 0.35
_DELAYS = (0.0, 0.1)
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_SHRINKAGES = (0.05, 0.2, 0.5)
_FRAME_SHRINKAGE = 0.1


class _Model(NamedTuple):
    """``neurons`` (N, N) and ``frames`` (T, T) turn errors of a clip (T, N) into independent ones of unit variance."""

    penalty: float
    shrinkage: float
    input_mean: FloatArray
    weights: FloatArray
    neurons: FloatArray
    frames: FloatArray

    def both_sides(self, activity: FloatArray, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Activity (Q, T, N), and what is expected of the inputs (M, T, I), so that squared distances are errors."""
        expected = (inputs - self.input_mean) @ self.weights
        return self.frames.T @ (activity @ self.neurons), self.frames.T @ (expected @ self.neurons)


def encoding(recording: Recording, features: StimulusFeatures) -> tuple[ConditionMetrics, dict[str, Any]]:
    """Test clips of one animal classified by its own encoding model."""
    best, best_score = None, -np.inf
    validation, tested = recording.validation, recording.test
    known = _inputs(recording, features, validation.rows[validation.first]) if len(validation.first) > 1 else None
    for model in _models(recording, features):
        score = model.penalty
        if known is not None:
            queries, candidates = model.both_sides(recording.of(validation), known)
            zero = np.zeros(1, dtype=np.float32)
            distance = metrics.expected_squared_distance(
                queries, np.broadcast_to(zero, queries.shape), candidates, np.broadcast_to(zero, candidates.shape)
            )
            score = mean_reciprocal_rank(distance, validation.target)
        if score > best_score:
            best, best_score = model, score
    assert best is not None
    shown = _inputs(recording, features, tested.rows[tested.first])
    queries, candidates = best.both_sides(recording.of(tested), shown)
    figures = condition_metrics(certain(queries), certain(candidates), tested.target, "expected_squared")
    return figures, {"penalty": best.penalty, "shrinkage": best.shrinkage}


def _models(recording: Recording, features: StimulusFeatures) -> Iterator[_Model]:
    rows = recording.train.rows
    inputs = _inputs(recording, features, rows)
    inputs = inputs.reshape(-1, inputs.shape[-1])
    input_mean = inputs.mean(axis=0)
    inputs -= input_mean
    activity = recording.activity[rows.reshape(-1)]
    validation = recording.validation
    own = validation if len(validation.rows) else recording.train
    of_own, activity_of_own = _inputs(recording, features, own.rows) - input_mean, recording.of(own)
    for penalty, weights, covariance in Ridge(inputs).path(activity, _PENALTIES):
        spread = np.diag(np.diag(covariance)) + 1e-6 * np.eye(len(covariance))
        predicted = of_own @ weights
        for shrinkage in _SHRINKAGES:
            precision = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * spread)
            neurons = np.linalg.cholesky(precision).astype(np.float32)
            left = ((activity_of_own - predicted) @ neurons).swapaxes(1, 2).reshape(-1, predicted.shape[1])
            in_time = left.T @ left / len(left)
            size = np.trace(in_time) / len(in_time)
            in_time = (1 - _FRAME_SHRINKAGE) * in_time + _FRAME_SHRINKAGE * size * np.eye(len(in_time))
            frames = np.linalg.cholesky(np.linalg.inv(in_time)).astype(np.float32)
            yield _Model(penalty, shrinkage, input_mean, weights, neurons, frames)


def _inputs(recording: Recording, features: StimulusFeatures, rows: npt.NDArray[np.int64]) -> FloatArray:
    shown = features(recording.stimulus_row[rows])
    delays = dict.fromkeys(round(second * recording.frame_rate) for second in _DELAYS)
    return np.concatenate(
        [through_indicator(shown, _DECAY, recording.frame_rate, delay=delay) for delay in delays], axis=-1
    )
