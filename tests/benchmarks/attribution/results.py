"""What a folder of results holds, and figures out of it: means over held-out animals, by seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwb_mivae.outputs import read_json
from tests.benchmarks.alignment.results import Figure
from tests.benchmarks.attribution.measures import mean_of_known

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """Results of one scale: one of each seed, and the ``cost`` of exact Fisher scores where it was measured."""

    seeds: Sequence[dict[str, Any]]
    cost: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path, scale: str) -> Results:
        """Read every file whose name says it is of this scale, and ``cost.json``."""
        cost = folder / "cost.json"
        found = [read_json(path) for path in folder.glob(f"{scale}-*.json")]
        return cls(
            sorted(found, key=lambda each: int(each["configuration"]["seed"])),
            read_json(cost) if cost.exists() else None,
        )

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Held-out animals of every seed."""
        return [session for seed in self.seeds for session in seed["sessions"].values()]

    def at(self, *path: str | int) -> Figure:
        """What stands at this path in the figures of an animal."""
        return Figure.of(
            mean_of_known(_at(session, path) for session in seed["sessions"].values()) for seed in self.seeds
        )

    def names(self, *path: str) -> list[str]:
        """Names of what stands at this path."""
        values: Any = self.sessions[0]
        for name in path:
            values = values[name]
        return list(values)

    def drawn(self, kind: str, source: str, method: str, which: slice = slice(None)) -> list[float]:
        """Figures of models with random weights, all draws or some of each, of every seed and animal."""
        return _known(
            value
            for session in self.sessions
            for value in session["random_models"][kind][source].get(method, [])[which]
        )

    def p_values(self, test: str) -> list[float]:
        """Of one test of stimulus regions on unrelated maps, of every seed and animal."""
        return [value for session in self.sessions for value in session["null_p_values"].get(test, [])]

    @property
    def null_tests(self) -> list[str]:
        """Tests of stimulus regions that have p-values."""
        return list(dict.fromkeys(name for session in self.sessions for name in session["null_p_values"]))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and np.isfinite(value)]


def _at(values: Any, path: Sequence[str | int]) -> float | None:
    for name in path:
        values = values[name]
    return None if values is None else float(values)
