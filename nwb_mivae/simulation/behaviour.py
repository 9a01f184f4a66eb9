"""The private side of an animal: slow factors that change its cells' gain, and what a rig would record of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

__all__ = ["FACTORS", "Behaviour", "draw_behaviour"]

FloatArray = npt.NDArray[np.float64]

#: Private factors: running and arousal are recorded (wheel, pupil), the state of the network is not.
FACTORS = ("running", "arousal", "network")

_CLOCK_RATE = 30.0
_REST_SECONDS = 14.0
_RUN_SECONDS = 8.0


@dataclass(frozen=True)
class Behaviour:
    """Private factors of one animal on a regular clock of their own.

    Attributes
    ----------
    time : ndarray of float64, (B,)
        Seconds.
    factors : ndarray of float64, (B, 3)
        Values of :data:`FACTORS`: running in units of 10 cm/s, the others with zero mean and unit variance.
    """

    time: FloatArray
    factors: FloatArray

    def factors_at(self, time: FloatArray) -> FloatArray:
        """Factors (len(time), 3), linearly interpolated."""
        return np.stack([np.interp(time, self.time, factor) for factor in self.factors.T], axis=1)

    def running_speed(self, time: FloatArray, random: np.random.Generator) -> FloatArray:
        """What the wheel measures at ``time``: cm/s with 0.3 cm/s of noise."""
        return 10.0 * self.factors_at(time)[:, 0] + 0.3 * random.standard_normal(len(time))

    def pupil_diameter(self, time: FloatArray, random: np.random.Generator) -> FloatArray:
        """What the eye camera measures at ``time``: millimetres, 1.2 at rest, with 0.02 mm of noise."""
        arousal = self.factors_at(time)[:, 1]
        return np.clip(1.2 + 0.22 * arousal, 0.4, 2.4) + 0.02 * random.standard_normal(len(time))


def draw_behaviour(duration: float, random: np.random.Generator) -> Behaviour:
    """Bouts of running, arousal that follows them slowly and wanders besides, and a hidden state of the network."""
    n = int(np.ceil(duration * _CLOCK_RATE)) + 2
    time = np.arange(n) / _CLOCK_RATE

    target = np.zeros(n)
    start = random.exponential(_REST_SECONDS)
    while start < duration:
        stop = start + 1.0 + random.exponential(_RUN_SECONDS)
        target[(time >= start) & (time < stop)] = 1.2 * np.exp(0.3 * random.standard_normal())
        start = stop + 1.0 + random.exponential(_REST_SECONDS)
    wander = 1.0 + 0.25 * _wandering(random, n, 1.0)
    running = np.maximum(_smooth(target, 0.5) * wander, 0.0)

    arousal = _smooth(running, 2.0) + 0.4 * _wandering(random, n, 12.0)
    arousal = (arousal - arousal.mean()) / arousal.std()
    network = _wandering(random, n, 3.0)
    network = (network - network.mean()) / network.std()
    return Behaviour(time, np.stack([running, arousal, network], axis=1))


def _smooth(values: FloatArray, seconds: float) -> FloatArray:
    keep = np.exp(-1.0 / (seconds * _CLOCK_RATE))
    return np.asarray(lfilter([1.0 - keep], [1.0, -keep], values))


def _wandering(random: np.random.Generator, n: int, seconds: float) -> FloatArray:
    """An Ornstein-Uhlenbeck process of unit variance with the given time constant."""
    keep = np.exp(-1.0 / (seconds * _CLOCK_RATE))
    drive = np.sqrt(1.0 - keep**2) * random.standard_normal(n)
    drive[0] = random.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], drive))
