"""What a folder of results holds, and figures out of it: by path into the JSON, over seeds, as mean and spread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nwb_mivae.outputs import read_json
from tests.benchmarks.alignment.designs import DESIGNS

__all__ = ["Figure", "Results"]


@dataclass(frozen=True)
class Figure:
    """One figure over seeds: its values, without those that are not defined."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Figure:
        """The figure of these values."""
        return cls(tuple(float(value) for value in values if value is not None and np.isfinite(value)))

    @property
    def mean(self) -> float:
        """NaN where no value is defined."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def size(self) -> float:
        """The mean, or less than any mean where there is none: to choose the largest of several."""
        return self.mean if self.values else -np.inf

    def over(self, other: float) -> Figure:
        """As a fraction of a number; not defined where that is none, or not positive."""
        return Figure(tuple(value / other for value in self.values)) if other > 0 else Figure(())

    def text(self, digits: int = 2) -> str:
        """Mean and spread as shown in tables."""
        if not self.values:
            return "-"
        spread = f" ± {self.spread:.{digits}f}" if len(self.values) > 1 else ""
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Results:
    """Results of one scale.

    Attributes
    ----------
    designs : mapping of str to list of dict
        By design, one of each seed.
    likeness : mapping of str to dict
        By design, how alike its runs are.
    baselines : list of dict
        One of each seed.
    scaling : mapping of (str, int) to list of dict
        By curve and number of training animals, one of each seed.
    minutes : mapping of str to dict
        Baselines that were given so many minutes of each animal.
    """

    designs: Mapping[str, list[dict[str, Any]]]
    likeness: Mapping[str, dict[str, Any]]
    baselines: Sequence[dict[str, Any]]
    scaling: Mapping[tuple[str, int], list[dict[str, Any]]]
    minutes: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, scale: str) -> Results:
        """Read every file whose name says it is of this scale."""
        designs: dict[str, list[dict[str, Any]]] = {}
        likeness: dict[str, dict[str, Any]] = {}
        scaling: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for design in DESIGNS:
            paths = sorted(folder.glob(f"{scale}-{design}-*.json"))
            if found := [read_json(path) for path in paths if re.search(r"-\d+$", path.stem)]:
                designs[design] = found
            if (path := folder / f"{scale}-{design}-likeness.json").exists():
                likeness[design] = read_json(path)
        for path in sorted(folder.glob(f"{scale}-scaling-*.json")):
            _, curve, animals, _ = path.stem.removeprefix(f"{scale}-scaling-").split("-")
            scaling.setdefault((curve, int(animals)), []).append(read_json(path))
        baselines = [read_json(path) for path in sorted(folder.glob(f"{scale}-baselines-*.json"))]
        given = {path.stem.rpartition("-")[2]: read_json(path) for path in folder.glob(f"{scale}-minutes-*.json")}
        minutes = {each: given[each] for each in sorted(given, key=float)}
        return cls(designs, likeness, baselines, scaling, minutes)

    @property
    def every(self) -> list[dict[str, Any]]:
        """Results of all designs and seeds."""
        return [each for found in self.designs.values() for each in found]

    def reads_context(self, design: str) -> bool:
        """Whether a design knows more with context than without."""
        return bool(self.designs[design][0]["context_minutes"])

    def at(self, design: str, *path: str) -> Figure:
        """What stands at this path in the results of a design; without values where the design was not measured."""
        return Figure.of(_at(each, path) for each in self.designs.get(design, []))

    def retrieved(self, design: str, group: str, condition: str, name: str) -> Figure:
        """A figure of retrieval, mean over the sessions of ``held_out`` or ``trained`` animals."""
        return self.at(design, "retrieval", group, condition, name)

    def decoded(self, design: str, *path: str) -> Figure:
        """A figure of the true factors, mean over held-out sessions."""
        return self._of_held_out(design, "decoding", path)

    def generated(self, design: str, *path: str) -> Figure:
        """A figure of generation, mean over held-out sessions."""
        return self._of_held_out(design, "generation", path)

    def ideal(self, group: str, name: str = "top1", observer: str = "ideal_observer") -> float:
        """What an observer of the truth reaches in the sessions of a group; the same for every design and seed."""
        return float(_at(self.every[0], ("retrieval", group, observer, name)) or np.nan)

    def baseline_names(self, *, between: bool = False) -> dict[str, tuple[str, str]]:
        """By key, the name of every baseline and what it has seen of the animal it is judged on.

        Those ``between`` animals look a clip up in another animal; all others among what was shown.
        """
        found = {}
        for each in self.baselines:
            for key, entry in each["baselines"].items():
                if key.endswith("_between") == between:
                    found[key] = (str(entry["name"]), str(entry["seen"]))
        return found

    def of_baseline(self, baseline: str, group: str, name: str, *, minutes: str | None = None) -> Figure:
        """A figure of a baseline, mean over the sessions of a group; given all of an animal, or so many minutes."""
        measured = self.baselines if minutes is None else [self.minutes[minutes]]
        entries = [each["baselines"][baseline] for each in measured if baseline in each["baselines"]]
        return Figure.of(
            _mean(
                _at(each, (name,)) for each in entry["sessions"].values() if each["held_out"] == (group == "held_out")
            )
            for entry in entries
        )

    def best_ridge(self, *, minutes: str | None = None) -> Figure:
        """Held-out top-1 of the best regression that is fitted on each animal, on all of it or so many minutes."""
        ridges = [key for key in self.baseline_names() if key.startswith("ridge")]
        figures = [self.of_baseline(key, "held_out", "top1", minutes=minutes) for key in ridges]
        return max(figures, key=lambda figure: figure.size, default=Figure(()))

    def curves(self) -> dict[str, list[tuple[int, Figure]]]:
        """By curve, held-out top-1 with context for every number of training animals."""
        found: dict[str, list[tuple[int, Figure]]] = {}
        for (curve, animals), _ in sorted(self.scaling.items()):
            figure = self.at_point(curve, animals, "retrieval", "held_out", "with_context", "top1")
            found.setdefault(curve, []).append((animals, figure))
        return found

    def at_point(self, curve: str, animals: int, *path: str) -> Figure:
        """What stands at this path in the results of one point of a scaling curve."""
        return Figure.of(_at(each, path) for each in self.scaling[(curve, animals)])

    def _of_held_out(self, design: str, kind: str, path: Sequence[str]) -> Figure:
        return Figure.of(
            _mean(_at(each[kind][key], path) for key in each["held_out"]) for each in self.designs.get(design, [])
        )


def _at(values: Any, path: Sequence[str]) -> float | None:
    """The number at a path; ``None`` where there is nothing, as in results of an earlier version."""
    for name in path:
        if values is None:
            return None
        values = values.get(name)
    return None if values is None else float(values)


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
