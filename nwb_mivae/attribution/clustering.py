"""How many groups cells fall into, and which, by time courses: as many as other clips of the same cells give again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["Clustering", "adjusted_rand_index", "cluster", "silhouettes", "standardised"]

_Array = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.int64]

#: Cells that the number of groups is chosen on, and that give the first centres: what is done with them takes the
#: square of their number, in memory and in time.
_CELLS_COMPARED = 500
#: A number of groups is tried where there are so many cells for each, and each must have so many: fewer are outliers.
_CELLS_EACH = 5
#: A time course that varies by less than this share of its mean is constant but for rounding.
_CONSTANT = 1e-6
#: What a number of groups must reach: agreement of the halves, and how far the groups stand apart beyond those of one
#: cloud, as it is and in standard deviations of what clouds give.
_LEAST_STABILITY, _LEAST_SEPARATION, _LEAST_DEVIATIONS = 0.6, 0.1, 3.0


@dataclass(frozen=True)
class Clustering:
    """Groups of N cells.

    Attributes
    ----------
    labels : ndarray of int64, (N,)
        Group of each cell, the largest group first.
    group_stability : ndarray of float64, (C,)
        Jaccard index of each group with the one most like it of a half of the clips, averaged; NaN where all cells
        are one group.
    stability : dict of int to float
        By number of groups, the adjusted Rand index between the groups that two halves of the clips give; NaN where
        some cells are so alike that a half gives fewer.
    separation, cloud_separation : dict of int to float
        By number of groups, the mean silhouette in one half of the clips of the groups that the other gives; and the
        same for made-up cells of one cloud, without groups. These and ``stability`` are of the first division.
    first_division : int
        Number of groups of the first division.
    divided_again : int
        Groups of the first division, and of later ones, that were divided further.
    """

    labels: _Labels
    group_stability: _Array
    stability: dict[int, float]
    separation: dict[int, float]
    cloud_separation: dict[int, float]
    first_division: int = 1
    divided_again: int = 0


def standardised(courses: _Array) -> _Array:
    """Time courses (N, B) less their means, with a standard deviation of 1: their form. Zeros where one is constant."""
    mean, spread = courses.mean(axis=1, keepdims=True), courses.std(axis=1, keepdims=True)
    varies = spread > _CONSTANT * np.abs(mean)
    return np.where(varies, (courses - mean) / np.where(varies, spread, 1.0), 0.0)


def cluster(
    courses: _Array,
    halves: Sequence[tuple[_Array, _Array]],
    *,
    most: int,
    random: np.random.Generator,
    number: int | None = None,
) -> Clustering:
    """Group cells by the form of their time courses, in as many groups as are stable.

    For every number of groups the cells are grouped twice, by their courses in two halves of the clips. The number is
    stable where both give the same groups. Cells that differ reliably, but all by degrees, would pass as well; so the
    groups that one half gives must also stand apart in the other, more than those of made-up cells do: drawn from one
    Gaussian cloud of the same mean and the same covariances, of what the halves have in common and of what they have
    not. Of the numbers that are stable and stand apart, the smallest is taken, and each of its groups is divided in the
    same way, until none can be; where the first division fails, all cells are one group. So groups that lie close to
    one another and far from the rest are found as well. A continuum that is far from Gaussian can pass for groups
    still: silhouettes tell.

    Groups are those of k-means, begun from Ward's.

    Parameters
    ----------
    courses : ndarray of float64, (N, B)
        Standardised time courses over all clips.
    halves : sequence of pairs of ndarray, (N, B) each
        The standardised time courses over two halves of the clips, halved in several ways; without any, all cells are
        one group.
    most : int
        Largest number of groups.
    random : Generator
    number : int, optional
        Give so many groups, stable or not; fewer where there are fewer different time courses.
    """
    if number is not None:
        return _divide(courses, halves, min(number, len(courses)), random, whatever=True)
    found = _divide(courses, halves, most, random)
    labels = found.labels
    waiting = list(range(labels.max() + 1)) if labels.max() else []
    again = 0
    while waiting:
        group = waiting.pop(0)
        members = np.flatnonzero(labels == group)
        of_group = [(one[members], other[members]) for one, other in halves]
        parts = _divide(courses[members], of_group, most - int(labels.max()), random).labels
        if not parts.max():
            continue
        again += 1
        # The first part keeps the group's number.
        new = np.concatenate([[group], labels.max() + 1 + np.arange(parts.max())])
        labels[members] = new[parts]
        waiting += new.tolist()
    if not again:
        return found
    labels = _largest_first(labels)
    stability = _stability(labels, random.permutation(len(courses))[:_CELLS_COMPARED], halves)
    return replace(found, labels=labels, group_stability=stability, divided_again=again)


def _divide(
    courses: _Array,
    halves: Sequence[tuple[_Array, _Array]],
    most: int,
    random: np.random.Generator,
    *,
    whatever: bool = False,
) -> Clustering:
    """The cells in the smallest number of groups that is stable and stands apart, or ``whatever`` it is in ``most``."""
    n_cells = len(courses)
    numbers = range(2, min(most, n_cells // _CELLS_EACH) + 1) if halves else range(0)
    if whatever:
        numbers = range(most, most + 1) if most > 1 else range(0)
    compared = random.permutation(n_cells)[:_CELLS_COMPARED]
    real, clouds = [], []
    for pair in halves if numbers else ():
        one, other = (half[compared] for half in pair)
        real.append(_compare(one, other, numbers))
        clouds.append(_compare(*_one_cloud(one, other, random), numbers))
    stability, separation = _by_number(np.mean, real, numbers)
    _, cloud_separation = _by_number(np.mean, clouds, numbers)
    _, deviation = _by_number(np.std, clouds, numbers)
    taken = [
        number
        for number in numbers
        if whatever
        or (
            stability[number] >= _LEAST_STABILITY
            and separation[number] - cloud_separation[number]
            >= max(_LEAST_SEPARATION, _LEAST_DEVIATIONS * deviation[number])
        )
    ]
    labels, group_stability = np.zeros(n_cells, dtype=np.int64), np.full(1, np.nan)
    begun = courses[compared]
    for number in taken:
        divided = _largest_first(_k_means(begun, _group(begun, [number])[number], courses))
        enough = divided.max() + 1 == number and np.bincount(divided).min() >= _CELLS_EACH
        if enough or whatever:
            labels = divided
            group_stability = _stability(labels, compared, halves)
            break
    first = int(labels.max(initial=0)) + 1
    return Clustering(labels, group_stability, stability, separation, cloud_separation, first_division=first)


def _stability(labels: _Labels, compared: npt.NDArray[np.int64], halves: Sequence[tuple[_Array, _Array]]) -> _Array:
    """Of each group, the Jaccard index with the most similar of as many groups of a half, mean over halves."""
    number = int(labels.max()) + 1
    if number == 1 or not halves:
        return np.full(number, np.nan)
    of_halves = [_group(half[compared], [number])[number] for pair in halves for half in pair]
    return np.asarray(np.mean([_overlap(labels, compared, groups) for groups in of_halves], axis=0))


def _compare(one: _Array, other: _Array, numbers: Sequence[int]) -> list[tuple[float, float]]:
    """By number of groups, how alike those of both halves are, and how far those of one stand apart in the other.

    Both are NaN where a half has fewer groups: cells that are alike are not divided.
    """
    of_one, of_other = _group(one, numbers), _group(other, numbers)
    figures = []
    for number in numbers:
        if any(len(np.unique(groups[number])) != number for groups in (of_one, of_other)):
            figures.append((np.nan, np.nan))
            continue
        apart = [silhouettes(other, of_one[number]).mean(), silhouettes(one, of_other[number]).mean()]
        figures.append((adjusted_rand_index(of_one[number], of_other[number]), float(np.mean(apart))))
    return figures


def _by_number(
    summary: Callable[..., _Array], figures: list[list[tuple[float, float]]], numbers: Sequence[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Mean or deviation over splits of both figures, by number of groups."""
    if not figures:
        return {}, {}
    values = summary(figures, axis=0)
    one, other = ({number: float(value) for number, value in zip(numbers, column, strict=True)} for column in values.T)
    return one, other


def adjusted_rand_index(one: _Labels, other: _Labels) -> float:
    """Agreement of two partitions of the same cells: 1 if they are the same, 0 on average by chance."""
    _, rows = np.unique(one, return_inverse=True)
    _, columns = np.unique(other, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)

    def pairs(counts: _Array) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    both, of_one, of_other = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = of_one * of_other / max(pairs(table.sum(keepdims=True)), 1.0)
    largest = (of_one + of_other) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)


def silhouettes(courses: _Array, labels: _Labels, *, cells_at_once: int = 256) -> _Array:
    """How much nearer each cell is to its own group than to the next, -1 to 1, (N,); NaN where there is one group.

    Distances are Euclidean and computed in blocks of cells; a cell alone in its group has 0.
    """
    from scipy.spatial.distance import cdist

    member = np.eye(labels.max() + 1)[labels]
    counts = member.sum(0)
    found = np.full(len(courses), np.nan)
    if len(counts) < 2:
        return found
    for first in range(0, len(courses), cells_at_once):
        block = slice(first, first + cells_at_once)
        own = member[block].astype(bool)
        total = cdist(courses[block], courses) @ member
        # A cell's distance to itself is none.
        mean = total / np.maximum(counts - own, 1)
        inside = mean[own]
        outside = np.where(own, np.inf, mean).min(1)
        larger = np.maximum(np.maximum(inside, outside), np.finfo(np.float64).tiny)
        found[block] = np.where(counts[labels[block]] > 1, (outside - inside) / larger, 0.0)
    return found


def _group(courses: _Array, numbers: Sequence[int]) -> dict[int, _Labels]:
    """Groups of cells by number of groups."""
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(courses, "ward")
    return {
        number: _k_means(courses, fcluster(tree, number, "maxclust").astype(np.int64) - 1, courses)
        for number in numbers
    }


def _k_means(begun: _Array, labels: _Labels, courses: _Array) -> _Labels:
    """Groups of ``courses``, from the centres of the groups ``labels`` of ``begun``."""
    from scipy.cluster.vq import ClusterError, kmeans2, vq

    centres = np.stack([begun[labels == label].mean(0) for label in np.unique(labels)])
    try:
        _, found = kmeans2(courses, centres, minit="matrix", iter=20, missing="raise")
    except ClusterError:
        # A group went empty on the way: those it was begun from then.
        found, _ = vq(courses, centres)
    return np.asarray(found, dtype=np.int64)


def _one_cloud(one: _Array, other: _Array, random: np.random.Generator) -> tuple[_Array, _Array]:
    """Made-up cells without groups, in two halves: Gaussian, with the mean and the covariances of the real ones."""
    mean = (one.mean(0) + other.mean(0)) / 2
    left, right = one - one.mean(0), other - other.mean(0)
    shared = left.T @ right / len(one)
    difference = (left - right) / np.sqrt(2)
    common = random.standard_normal(one.shape) @ _root((shared + shared.T) / 2)
    apart = _root(difference.T @ difference / len(one))
    first, second = (standardised(mean + common + random.standard_normal(one.shape) @ apart) for _ in range(2))
    return first, second


def _root(covariance: _Array) -> _Array:
    """A symmetric square root, with what sampling made negative taken for none."""
    values, vectors = np.linalg.eigh(covariance)
    root: _Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def _largest_first(labels: _Labels) -> _Labels:
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(counts), dtype=np.int64)
    place[np.lexsort((first, -counts))] = np.arange(len(counts))
    return place[inverse]


def _overlap(labels: _Labels, compared: npt.NDArray[np.int64], other: _Labels) -> _Array:
    """Of each group, among the compared cells, the Jaccard index with the group of ``other`` that is most like it."""
    both = np.eye(labels.max() + 1)[labels[compared]].T @ np.eye(other.max() + 1)[other]
    union = both.sum(1)[:, None] + both.sum(0)[None] - both
    largest: _Array = (both / np.maximum(union, 1)).max(1)
    return largest
