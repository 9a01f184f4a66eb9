"""Per-animal ridge regression from neurons to stimulus features: the bar that a learned encoder has to clear.

Everything about it is made for one animal and chosen on that animal's validation part: the penalty, how far it looks
around a frame, and whether features are compared as shown or as the indicator low-passes them. Predicted and shown
features are compared by the cosine after both are whitened with the covariance of the read-out's own errors, as linear
discriminant analysis would weigh them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import ConditionMetrics, metrics
from nwb_mivae.evaluation.conditions import both_ways, condition_metrics
from tests.benchmarks.alignment.baselines.animals import Embedded, between_animals, shared_clips
from tests.benchmarks.alignment.baselines.choosing import mean_reciprocal_rank
from tests.benchmarks.alignment.baselines.features import StimulusFeatures
from tests.benchmarks.alignment.baselines.figures import SessionFigures, certain
from tests.benchmarks.alignment.baselines.indicator import through_indicator
from tests.benchmarks.alignment.baselines.recordings import Recording
from tests.benchmarks.alignment.baselines.regression import ridge_path

SEEN = (
    "the whole training part of the new animal's own recording, with the stimulus, for a regression of its own; its "
    "validation part for the penalty, offsets and time constant"
)
COMPONENTS = 200

FloatArray = npt.NDArray[np.float32]

#: Seconds around a frame. The first is what the model's own read-out looks at.
_OFFSETS = ((-0.133, 0.0, 0.133), (-0.2, -0.1, 0.0, 0.1, 0.2))
_DECAYS = (0.0, 0.15)
_PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: Added to the variances of the errors, as a share: directions that are hardly wrong in training must not decide alone.
_ERROR_SHRINKAGE = 0.05


@dataclass(frozen=True)
class Readout:
    """A fitted regression: ``predict`` makes features (Q, T, D) of activity (Q, T, N), both centred."""

    offsets: tuple[int, ...]
    decay: float
    penalty: float
    neural_mean: FloatArray
    feature_mean: FloatArray
    weights: FloatArray
    whitening: FloatArray

    def predict(self, activity: FloatArray) -> FloatArray:
        predicted: FloatArray = (with_offsets(activity, self.offsets) - self.neural_mean) @ self.weights
        return predicted

    @property
    def chosen(self) -> dict[str, Any]:
        return {"offsets": list(self.offsets), "decay": self.decay, "penalty": self.penalty}


def ridge(recording: Recording, features: StimulusFeatures) -> tuple[ConditionMetrics, Readout]:
    """Test clips of one animal looked up by what its own read-out predicts."""
    readout = fit_readout(recording, features)
    clips = recording.test
    shown = _shown(recording, features, readout, clips.rows[clips.first])
    queries = readout.predict(recording.of(clips)) @ readout.whitening
    candidates = shown @ readout.whitening
    return condition_metrics(certain(queries), certain(candidates), clips.target, "centred_cosine"), readout


def fit_readout(recording: Recording, features: StimulusFeatures) -> Readout:
    """The read-out that finds the clips of the validation part best."""
    rows = recording.stimulus_row[recording.train.rows]
    shown, activity = features(rows), recording.of(recording.train)
    best, best_score = None, -np.inf
    offsets_in_frames = dict.fromkeys(
        tuple(dict.fromkeys(round(second * recording.frame_rate) for second in seconds)) for seconds in _OFFSETS
    )
    for offsets, decay in product(offsets_in_frames, _DECAYS):
        for readout in _path(activity, shown, offsets, decay, recording.frame_rate):
            score = _validation_score(recording, features, readout)
            if score > best_score:
                best, best_score = readout, score
    assert best is not None
    return best


def with_offsets(activity: FloatArray, offsets: Sequence[int]) -> FloatArray:
    """Activity at each frame plus offset side by side, (Q, T, N) to (Q, T, O * N); past a clip's ends the end frame."""
    frames = np.arange(activity.shape[1])
    return np.concatenate(
        [activity[:, np.clip(frames + offset, 0, len(frames) - 1)] for offset in offsets], axis=-1, dtype=np.float32
    )


def error_whitening(errors: FloatArray) -> FloatArray:
    """The (D, D) matrix that brings errors (n, D) to nearly independent dimensions of unit variance."""
    covariance = (errors.T @ errors / len(errors)).astype(np.float64)
    spread = np.diag(covariance)
    covariance = covariance + np.diag(_ERROR_SHRINKAGE * spread + 1e-6 * max(float(spread.max()), 1e-12))
    return np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)


def _path(
    activity: FloatArray, shown: FloatArray, offsets: tuple[int, ...], decay: float, frame_rate: float
) -> list[Readout]:
    inputs = with_offsets(activity, offsets)
    inputs = inputs.reshape(-1, inputs.shape[-1])
    targets = through_indicator(shown, decay, frame_rate)
    targets = targets.reshape(-1, targets.shape[-1])
    neural_mean, feature_mean = inputs.mean(axis=0), targets.mean(axis=0)
    inputs, targets = inputs - neural_mean, targets - feature_mean
    path = []
    for penalty, weights in ridge_path(inputs, targets, _PENALTIES):
        whitening = error_whitening(targets - inputs @ weights)
        path.append(Readout(offsets, decay, penalty, neural_mean, feature_mean, weights, whitening))
    return path


def _shown(
    recording: Recording, features: StimulusFeatures, readout: Readout, rows: npt.NDArray[np.int64]
) -> FloatArray:
    shown = through_indicator(features(recording.stimulus_row[rows]), readout.decay, recording.frame_rate)
    return shown - readout.feature_mean


def _validation_score(recording: Recording, features: StimulusFeatures, readout: Readout) -> float:
    """Reciprocal rank of validation clips; where there are fewer than two, larger penalties are the safer choice."""
    clips = recording.validation
    if len(clips.first) < 2:
        return readout.penalty
    predicted = readout.predict(recording.of(clips)) @ readout.whitening
    shown = _shown(recording, features, readout, clips.rows[clips.first]) @ readout.whitening
    return mean_reciprocal_rank(1.0 - metrics.centred_cosine_similarity(predicted, shown), clips.target)


def predictions(recording: Recording, readout: Readout) -> Embedded:
    """An animal in the space of stimulus features, as its read-out predicts them."""
    return Embedded.of(recording, lambda rows: readout.predict(recording.activity[rows][None])[0], readout.predict)


def between(animals: Sequence[Embedded], readouts: Mapping[str, Readout]) -> dict[str, SessionFigures]:
    """Predictions of one animal looked up among those of another, both ways, against the errors of the two together."""
    errors = {
        key: np.linalg.inv((each.whitening @ each.whitening.T).astype(np.float64)) for key, each in readouts.items()
    }

    def compare(a: Embedded, b: Embedded) -> tuple[ConditionMetrics, dict[str, Any]] | None:
        clips = shared_clips(a.test, b.test)
        if clips is None:
            return None
        whitening = np.linalg.cholesky(np.linalg.inv(errors[a.key] + errors[b.key]))
        first, second = (certain(each @ whitening) for each in clips)
        return both_ways(first, second, "centred_cosine"), {"a": a.key, "b": b.key}

    return between_animals(animals, compare)
