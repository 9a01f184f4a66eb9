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
from tests.benchmarks.alignment.baselines.recordings import Clips, Recording
from tests.benchmarks.alignment.baselines.regression import ridge_path

SEEN = (
    "the whole training part of the new animal's own recording, with the stimulus, for an encoding model and a noise "
    "covariance of its own; its validation part for the penalty, the shrinkage and the noise's course in time"
)
COMPONENTS = 800

FloatArray = npt.NDArray[np.float32]

#: Time constant of the indicator, and the seconds by which the same features enter once more, later.
_DECAY = 0.35
_DELAYS = (0.0, 0.1)
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
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

    def whitened(self, activity: FloatArray) -> FloatArray:
        whitened: FloatArray = self.frames.T @ (activity @ self.neurons)
        return whitened


def encoding(recording: Recording, features: StimulusFeatures) -> tuple[ConditionMetrics, dict[str, Any]]:
    """Test clips of one animal classified by its own encoding model."""
    best, best_score = None, -np.inf
    validation = recording.validation
    for model in _models(recording, features):
        score = model.penalty
        if len(validation.first) > 1:
            queries, candidates = _both_sides(recording, features, model, validation)
            zero = np.zeros(1, dtype=np.float32)
            distance = metrics.expected_squared_distance(
                queries, np.broadcast_to(zero, queries.shape), candidates, np.broadcast_to(zero, candidates.shape)
            )
            score = mean_reciprocal_rank(distance, validation.target)
        if score > best_score:
            best, best_score = model, score
    assert best is not None
    queries, candidates = _both_sides(recording, features, best, recording.test)
    figures = condition_metrics(certain(queries), certain(candidates), recording.test.target, "expected_squared")
    return figures, {"penalty": best.penalty, "shrinkage": best.shrinkage}


def _both_sides(
    recording: Recording, features: StimulusFeatures, model: _Model, clips: Clips
) -> tuple[FloatArray, FloatArray]:
    expected = (_inputs(recording, features, clips.rows[clips.first]) - model.input_mean) @ model.weights
    return model.whitened(recording.of(clips)), model.whitened(expected)


def _models(recording: Recording, features: StimulusFeatures) -> Iterator[_Model]:
    # Clips of the training part overlap by half: every second one leaves no frame out, and halves the memory.
    rows = recording.train.rows[::2]
    inputs = _inputs(recording, features, rows)
    inputs = inputs.reshape(-1, inputs.shape[-1])
    input_mean = inputs.mean(axis=0)
    inputs -= input_mean
    activity = recording.activity[rows.reshape(-1)]
    validation = recording.validation
    own = validation if len(validation.rows) else recording.train
    for penalty, weights in ridge_path(inputs, activity, _PENALTIES):
        errors = activity - inputs @ weights
        covariance = errors.T @ errors / len(errors)
        spread = np.diag(np.diag(covariance)) + 1e-6 * np.eye(len(covariance), dtype=np.float32)
        predicted = (_inputs(recording, features, own.rows) - input_mean) @ weights
        for shrinkage in _SHRINKAGES:
            neurons = np.linalg.cholesky(np.linalg.inv((1 - shrinkage) * covariance + shrinkage * spread))
            left = (recording.of(own) - predicted) @ neurons
            in_time = np.einsum("qsn,qtn->st", left, left) / (left.shape[0] * left.shape[2])
            size = np.trace(in_time) / len(in_time)
            in_time = (1 - _FRAME_SHRINKAGE) * in_time + _FRAME_SHRINKAGE * size * np.eye(len(in_time))
            frames = np.linalg.cholesky(np.linalg.inv(in_time)).astype(np.float32)
            yield _Model(penalty, shrinkage, input_mean, weights, neurons.astype(np.float32), frames)


def _inputs(recording: Recording, features: StimulusFeatures, rows: npt.NDArray[np.int64]) -> FloatArray:
    shown = features(recording.stimulus_row[rows])
    delays = dict.fromkeys(round(second * recording.frame_rate) for second in _DELAYS)
    return np.concatenate(
        [through_indicator(shown, _DECAY, recording.frame_rate, delay=delay) for delay in delays], axis=-1
    )
