"""Time courses of cells' attribution over clips or around onsets: their form, and whether they have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.clustering import standardised

if TYPE_CHECKING:
    from nwb_mivae.attribution.onset_courses import OnsetCourses

__all__ = ["TimeCourses", "discoveries", "locked_to_onsets"]

_Array = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

#: Different things shown, below which halves are no samples of stimuli.
_LEAST_DIFFERENT = 4
_DRAWS_AT_ONCE = 200
_CELLS_AT_ONCE = 128
#: Share by which equal sums may differ.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class TimeCourses:
    """E epochs (clips, or the surroundings of onsets) of B frames of the attribution to N cells.

    Attributes
    ----------
    values : ndarray, (E, B, N)
        Only the size counts, not the sign.
    shown : ndarray of int64, (E,)
        What the epoch shows, counted from 0: epochs of one number and kind are kept in one half.
    kind : ndarray of int64, (E,)
        Kind of the epoch, counted from 0; a cell's time course is that of each kind, one after the other.
    time : ndarray of float64, (B,)
        Start of each frame from the beginning of the clip, or from the onset, in seconds.
    """

    values: npt.NDArray[np.float32]
    shown: _Integers
    kind: _Integers
    time: _Array

    @classmethod
    def around_onsets(cls, courses: OnsetCourses) -> TimeCourses:
        """Onsets with strong and with weak edges are two kinds, where there are four or more different ones of each."""
        _, shown = np.unique(courses.content, return_inverse=True)
        # A few things shown over and over: their showings are the samples.
        if len(np.unique(shown)) < 2 * _LEAST_DIFFERENT:
            shown = np.arange(len(shown))
        kind = courses.strong_edges.astype(np.int64)
        if min(len(np.unique(shown[kind == each])) for each in (0, 1)) < _LEAST_DIFFERENT:
            kind = np.zeros_like(kind)
        return cls(courses.values, shown.astype(np.int64), kind, courses.time)

    @property
    def n_kinds(self) -> int:
        return int(self.kind.max()) + 1

    def strength(self, epochs: npt.NDArray[np.bool_] | None = None) -> _Array:
        """Mean size over epochs (default all), kind by kind: (kinds, N, B)."""
        total = np.zeros((self.n_kinds, *self.values.shape[1:]))
        counts = np.zeros(self.n_kinds)
        for epoch in range(len(self.values)) if epochs is None else np.flatnonzero(epochs):
            # Epoch by epoch, to copy no map.
            total[self.kind[epoch]] += np.abs(self.values[epoch])
            counts[self.kind[epoch]] += 1
        return np.asarray((total / np.maximum(counts, 1)[:, None, None]).transpose(0, 2, 1))

    def form(self, epochs: npt.NDArray[np.bool_] | None = None) -> _Array:
        """Standardised time courses of cells, one kind of epoch after the other: (N, kinds * B)."""
        return standardised(np.concatenate(list(self.strength(epochs)), axis=1))

    def halves(self, splits: int, random: np.random.Generator) -> list[tuple[_Array, _Array]]:
        """Forms over two halves of what is shown, halved at random several times; none where there is too little."""
        numbers = [np.unique(self.shown[self.kind == kind]) for kind in range(self.n_kinds)]
        if min(map(len, numbers)) < _LEAST_DIFFERENT:
            return []
        pairs = []
        for _ in range(splits):
            first = np.zeros(len(self.shown), dtype=np.bool_)
            for kind, different in enumerate(numbers):
                drawn = random.permutation(different)[: len(different) // 2]
                first |= np.isin(self.shown, drawn) & (self.kind == kind)
            pairs.append((self.form(first), self.form(~first)))
        return pairs


def locked_to_onsets(courses: TimeCourses, *, shuffles: int, random: np.random.Generator) -> _Array:
    """Of each cell, the p-value of having no time course around onsets, (N,).

    The statistic is how much the mean over onsets varies over time, of the square roots of the attribution (so that a
    few large responses do not decide); kinds of onsets are averaged apart and count by their number. Under the null
    every onset's course, less its mean, is as likely to be mirrored about it (for all cells at once). Mirroring keeps
    a course's own shape, so that slow changes that ignore onsets are not taken for a response; turning courses in time
    would break them. The observed one is among the draws, so that p is at least one in ``shuffles + 1``.
    """
    n_onsets, _, n_cells = courses.values.shape
    signs = np.ones((shuffles + 1, n_onsets))
    # The first draw is what was observed.
    signs[1:] = random.choice([-1.0, 1.0], (shuffles, n_onsets))
    kinds = [np.flatnonzero(courses.kind == kind) for kind in range(courses.n_kinds)]
    p_value = np.zeros(n_cells)
    for first in range(0, n_cells, _CELLS_AT_ONCE):
        cells = slice(first, first + _CELLS_AT_ONCE)
        roots = np.sqrt(np.abs(courses.values[:, :, cells], dtype=np.float64))
        roots -= roots.mean(1, keepdims=True)
        observed = _varies(roots, signs[:1], kinds)[0]
        for draws in np.split(signs, range(_DRAWS_AT_ONCE, len(signs), _DRAWS_AT_ONCE)):
            # Draws that mirror all or none are equal but for rounding.
            p_value[cells] += (_varies(roots, draws, kinds) >= observed * (1 - _ROUNDING)).sum(0)
    return p_value / len(signs)


def _varies(roots: _Array, signs: _Array, kinds: list[_Integers]) -> _Array:
    """How much the mean over onsets of courses (E, B, N), each times its sign (S, E), varies over time: (S, N)."""
    total = np.zeros((len(signs), roots.shape[2]))
    for onsets in kinds:
        means = signs[:, onsets] @ roots[onsets].reshape(len(onsets), -1) / len(onsets)
        total += len(onsets) * np.square(means).reshape(len(signs), roots.shape[1], -1).mean(1)
    return total


def discoveries(p_values: _Array, rate: float) -> npt.NDArray[np.bool_]:
    """Which of these hypotheses are rejected at a false discovery rate (Benjamini & Hochberg 1995)."""
    order = np.argsort(p_values)
    below = np.flatnonzero(p_values[order] <= rate * np.arange(1, len(p_values) + 1) / len(p_values))
    found = np.zeros(len(p_values), dtype=np.bool_)
    if len(below):
        found[order[: below[-1] + 1]] = True
    return found
