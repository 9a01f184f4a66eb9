"""What latents should be about: the true stimulus factors and the true private factors of every stored frame.

Stimulus factors belong to no model and to no recorded cell. A reference population, large and with a seed of its own,
is shown what each session showed; its noise-free drive, as an indicator would blur and delay it, is brought down to
its leading principal components, one basis for all sessions. They are what a population of V1 cells can tell of the
stimulus at the sample that alignment gives each frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.outputs import whole_file
from nwb_mivae.simulation.receptive_fields import Population, draw_population
from nwb_mivae.simulation.responses import unscaled_drive
from nwb_mivae.simulation.schedule import Display
from tests.benchmarks.alignment.code import OF_ANIMALS, code_digest
from tests.benchmarks.alignment.indicator import as_seen_by_indicator

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, StoredSession
    from tests.benchmarks.alignment.scales import Material

__all__ = ["PRIVATE", "TrueFactors", "true_factors"]

#: Private factors, in the simulator's order.
PRIVATE = ("running", "arousal", "network")
_STIMULUS_FACTORS = 16
_REFERENCE_CELLS = 400
#: Of the reference population: no animal of the benchmark is drawn from it.
_REFERENCE_SEED = 4_242

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrueFactors:
    """True factors of the F stored frames of every session.

    Attributes
    ----------
    stimulus : mapping of str to ndarray of float32, (F, P)
        Principal components of the reference population's drive, zero mean and unit variance over all sessions.
    private : mapping of str to ndarray of float32, (F, 3)
        :data:`PRIVATE`, blurred and delayed by the indicator like everything that activity tells.
    share : ndarray of float64, (P,)
        Share of the reference population's variance (every cell weighing the same) that each component is.
    """

    stimulus: Mapping[str, FloatArray]
    private: Mapping[str, FloatArray]
    share: npt.NDArray[np.float64]

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays = {"share": self.share}
        for kind in ("stimulus", "private"):
            arrays |= {f"{kind}.{key}": values for key, values in getattr(self, kind).items()}
        with whole_file(path) as beside, open(beside, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> TrueFactors:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            of_kind = {
                kind: {name.partition(".")[2]: arrays[name] for name in arrays.files if name.startswith(f"{kind}.")}
                for kind in ("stimulus", "private")
            }
            return cls(**of_kind, share=arrays["share"])


def true_factors(given: Material, cache: Path | None = None) -> TrueFactors:
    """Compute the factors of every session, or read them from ``cache`` where they are of the same store and code."""
    belongs_to = f"{given.digest[:12]}-{code_digest(OF_ANIMALS)[:12]}"
    path = None if cache is None else cache / f"{given.scale.name}-factors-{belongs_to}.npz"
    if path is not None and path.exists():
        return TrueFactors.load(path)
    drives, private = {}, {}
    population = reference_population(given)
    for key, stored in given.store.sessions.items():
        truth = given.truth(key)
        drives[key], private[key] = _of_session(given.store, stored, truth, population)
    mean, deviation, directions, share = _components(list(drives.values()))
    stimulus = {key: (((drive - mean) / deviation) @ directions).astype(np.float32) for key, drive in drives.items()}
    found = TrueFactors(stimulus, private, share)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found.save(path)
    return found


def reference_population(given: Material) -> Population:
    """Cells, all visual, that look at frames of the store's size."""
    settings = given.scale.simulation.model_copy(
        update={"cells": (_REFERENCE_CELLS, _REFERENCE_CELLS), "not_visual_fraction": 0.0}
    )
    return draw_population(settings, np.random.default_rng(_REFERENCE_SEED))


def _of_session(
    store: ClipStore, stored: StoredSession, truth: Mapping[str, npt.NDArray[Any]], population: Population
) -> tuple[FloatArray, FloatArray]:
    shown = len(truth["frame_time"])
    nothing = np.zeros(shown, dtype=np.int64)
    display = Display(
        time=np.append(truth["frame_time"], truth["frame_stop_time"][-1]),
        movie=truth["frame_movie"],
        frame=truth["frame_number"],
        block=nothing,
        repeat=nothing,
        dropped=truth["frame_dropped"],
    )
    lag, rate = float(stored.report["lag"]), stored.frame_rate
    place = np.searchsorted(truth["frame_time"], stored.time + 1e-4, side="right") - 1
    drive = unscaled_drive(population, _movies(store, stored, truth), display, rate)
    drive = as_seen_by_indicator(drive, rate, lag, normalised=True)[place]
    private = as_seen_by_indicator(truth["factors"], rate, lag, normalised=True)[place]
    return drive.astype(np.float32), private.astype(np.float32)


def _movies(
    store: ClipStore, stored: StoredSession, truth: Mapping[str, npt.NDArray[Any]]
) -> list[npt.NDArray[np.uint8]]:
    """Frames of the session's movies from the store, in the order of the truth; frames never shown are grey."""
    movies = []
    for number, name in enumerate(truth["movie_names"].tolist()):
        length = int(truth["frame_number"][truth["frame_movie"] == number].max()) + 1
        movie = np.full((length, store.height, store.width), 128, dtype=np.uint8)
        rows = np.flatnonzero(stored.template == stored.template_names.index(name))
        movie[stored.frame[rows]] = store.stimulus[stored.stimulus_row[rows]]
        movies.append(movie)
    return movies


def _components(
    drives: list[FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.float64]]:
    """Mean and deviation (N,) of the cells, directions (N, P) that give unit variance, and their shares (P,)."""
    total = sum(len(drive) for drive in drives)
    mean = sum(drive.sum(axis=0, dtype=np.float64) for drive in drives) / total
    second = sum((drive - mean).T @ (drive - mean) for drive in drives) / total
    deviation = np.sqrt(np.maximum(np.diag(second), 1e-12))
    variance, direction = np.linalg.eigh(second / np.outer(deviation, deviation))
    leading = np.argsort(variance)[::-1][:_STIMULUS_FACTORS]
    scaled = direction[:, leading] / np.sqrt(variance[leading])
    return mean, deviation, scaled, variance[leading] / len(variance)
