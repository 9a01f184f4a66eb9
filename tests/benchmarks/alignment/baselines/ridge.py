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
from typing import Any, NamedTuple

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
from tests.benchmarks.alignment.baselines.regression import Ridge

SEEN = (
    "the training part of the new animal's own recording, with the stimulus, for a regression of its own; its "
    "validation part for the penalty, offsets and time constant"
)
COMPONENTS = 200

FloatArray = npt.NDArray[np.float32]

#: Seconds around a frame. The first is what the model's own read-out looks at.
_OFFSETS = ((-0.133, 0.0, 0.133), (-0.2, -0.1, 0.0, 0.1, 0.2))
_DECAYS = (0.0, 0.15)
_PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
#: Added to the variances of the errors, as a share: directions that are hardly wrong in training must not decide alone.
_ERROR_SHRINKAGE = 0.05


class Inputs(NamedTuple):
    """Activity of the training clips at some offsets in frames, centred, and the mean that was removed."""

    offsets: tuple[int, ...]
    mean: FloatArray
    ridge: Ridge


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

    def centred(self, shown: FloatArray, frame_rate: float) -> FloatArray:
        """Features of clips (Q, T, D) as they would be predicted without error."""
        return through_indicator(shown, self.decay, frame_rate) - self.feature_mean

    @property
    def chosen(self) -> dict[str, Any]:
        return {"offsets": list(self.offsets), "decay": self.decay, "penalty": self.penalty}


def readout_inputs(recording: Recording) -> list[Inputs]:
    """What every regression of one animal starts from, once for each choice of offsets."""
    activity = recording.of(recording.train_overlapping)
    found = []
    for offsets in dict.fromkeys(
        tuple(dict.fromkeys(round(second * recording.frame_rate) for second in seconds)) for seconds in _OFFSETS
    ):
        around = with_offsets(activity, offsets)
        around = around.reshape(-1, around.shape[-1])
        mean = around.mean(axis=0)
        around -= mean
        found.append(Inputs(offsets, mean, Ridge(around)))
    return found


def ridge(
    recording: Recording, inputs: Sequence[Inputs], features: StimulusFeatures
) -> tuple[ConditionMetrics, Readout]:
    """Test clips of one animal looked up by what its own read-out predicts."""
    readout = fit_readout(recording, inputs, features)
    clips = recording.test
    shown = features(recording.stimulus_row[clips.rows[clips.first]])
    queries = readout.predict(recording.of(clips)) @ readout.whitening
    candidates = readout.centred(shown, recording.frame_rate) @ readout.whitening
    return condition_metrics(certain(queries), certain(candidates), clips.target, "centred_cosine"), readout


def fit_readout(recording: Recording, inputs: Sequence[Inputs], features: StimulusFeatures) -> Readout:
    """The read-out that finds the clips of the validation part best."""
    shown = features(recording.stimulus_row[recording.train_overlapping.rows])
    clips = recording.validation
    known = features(recording.stimulus_row[clips.rows[clips.first]]) if len(clips.first) > 1 else None
    best, best_score = None, -np.inf
    for each, decay in product(inputs, _DECAYS):
        targets = through_indicator(shown, decay, recording.frame_rate)
        targets = targets.reshape(-1, targets.shape[-1])
        feature_mean = targets.mean(axis=0)
        around = with_offsets(recording.of(clips), each.offsets) - each.mean if known is not None else None
        for penalty, weights, covariance in each.ridge.path(targets - feature_mean, _PENALTIES):
            whitening = error_whitening(covariance)
            readout = Readout(each.offsets, decay, penalty, each.mean, feature_mean, weights, whitening)
            # Without validation clips larger penalties are the safer choice.
            score = penalty
            if known is not None and around is not None:
                candidates = readout.centred(known, recording.frame_rate) @ whitening
                similarity = metrics.centred_cosine_similarity(around @ (weights @ whitening), candidates)
                score = mean_reciprocal_rank(1.0 - similarity, clips.target)
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


def error_whitening(covariance: npt.NDArray[np.float64]) -> FloatArray:
    """The (D, D) matrix that brings errors of that covariance to nearly independent dimensions of unit variance."""
    spread = np.diag(covariance)
    shrunk = covariance + np.diag(_ERROR_SHRINKAGE * spread + 1e-6 * max(float(spread.max()), 1e-12))
    return np.linalg.cholesky(np.linalg.inv(shrunk)).astype(np.float32)


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
