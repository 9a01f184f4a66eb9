"""Figures out of a folder of results: of every animal, its mean over seeds; then mean and spread over animals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.outputs import read_json
from tests.benchmarks.alignment.results import Figure

__all__ = ["Measured", "measured"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Results of one setting, one of each seed, all of the same animals."""

    seeds: Sequence[dict[str, Any]]

    @property
    def first(self) -> dict[str, Any]:
        """Any of them, for what is alike in all."""
        return self.seeds[0]

    @property
    def sessions(self) -> list[str]:
        """Keys of the animals' sessions, in order."""
        return sorted(self.first["animals"])

    @property
    def title(self) -> str:
        """What tells this setting from others."""
        settings = self.first["configuration"]
        return (
            f"`{settings['model']['stimulus_encoder']}`, {settings['training']['steps']} steps, clips of "
            f"{settings['episodes']['clip_frames']} frames, {settings['fold_size']} animals held out at a time"
        )

    def values(self, condition: str, name: str) -> FloatArray:
        """A figure of every seed and animal, (S, A); NaN where an animal has none."""
        return np.array(
            [
                [
                    np.nan if (value := each["figures"][key][condition].get(name)) is None else value
                    for key in self.sessions
                ]
                for each in self.seeds
            ],
            dtype=np.float64,
        )

    def of_animals(self, condition: str, name: str) -> FloatArray:
        """The same as a mean over seeds, (A,)."""
        return np.asarray(self.values(condition, name).mean(axis=0))

    def over_animals(self, condition: str, name: str) -> Figure:
        """Mean and spread over the animals that have this figure."""
        return Figure.of(self.of_animals(condition, name))

    def over_seeds(self, condition: str, name: str) -> Figure:
        """Mean over animals, and its spread over seeds."""
        values = self.values(condition, name)
        defined = np.isfinite(values).all(axis=0)
        return Figure.of(values[:, defined].mean(axis=1) if defined.any() else ())

    def less(self, condition: str, other: str, name: str = "transferred") -> FloatArray:
        """By how much every animal's figure is above its figure under another condition, (A,) or fewer."""
        difference = self.of_animals(condition, name) - self.of_animals(other, name)
        return np.asarray(difference[np.isfinite(difference)])

    def confusion(self, condition: str) -> FloatArray:
        """Mean over animals and seeds of the transferred read-out's answers by true class."""
        shares = [each["figures"][key][condition]["confusion"] for each in self.seeds for key in self.sessions]
        return np.asarray(np.mean(shares, axis=0))


def measured(folder: Path) -> list[Measured]:
    """Everything in a folder, one entry for each setting that is not a seed, in order of their files' names."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("recordings-*.json")):
        found.setdefault(path.stem.rpartition("-")[0], []).append(read_json(path))
    return [Measured(each) for each in found.values()]
