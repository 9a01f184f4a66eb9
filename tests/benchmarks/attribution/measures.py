"""Figures of merit as pure functions: how well a ranking finds what was planted, and what removal by it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["area_under", "auroc", "mean_of_known", "pointing_game", "removal_curves"]

_Mask = npt.NDArray[np.bool_]


def auroc(figure: npt.NDArray[Any], positive: npt.NDArray[Any]) -> float | None:
    """Probability that a positive has the larger figure than a negative, ties counting half; chance is 0.5.

    Parameters
    ----------
    figure : ndarray of float, any shape
    positive : ndarray of bool, of the same shape

    Returns
    -------
    float or None
        None where there are no positives or no negatives.
    """
    from scipy.stats import rankdata

    labels = np.asarray(positive, dtype=bool).ravel()
    n_positive, n_negative = int(labels.sum()), int((~labels).sum())
    if n_positive == 0 or n_negative == 0:
        return None
    ranks = rankdata(np.asarray(figure, dtype=np.float64).ravel())
    return float((ranks[labels].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def pointing_game(maps: npt.NDArray[Any], inside: _Mask) -> float | None:
    """Share of maps (M, H, W) whose maximum lies inside the region (H, W); chance is the region's share of the frame.

    Where several pixels share the maximum, the map counts as the share of them that lies inside. Maps that are the same
    everywhere point nowhere and are left out; None where there are no others.
    """
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    largest = flat.max(axis=1, keepdims=True)
    points = flat[flat.min(axis=1) < largest[:, 0]]
    if not len(points):
        return None
    at_maximum = points == points.max(axis=1, keepdims=True)
    return float((at_maximum[:, inside.ravel()].sum(axis=1) / at_maximum.sum(axis=1)).mean())


def removal_curves(
    figure: npt.NDArray[Any], shares: Sequence[float], judge: Callable[[_Mask], Mapping[str, float]]
) -> dict[str, dict[str, list[float]]]:
    """What is left when the highest-ranked are removed first, and when they are the first to be put back.

    Parameters
    ----------
    figure : ndarray of float, any shape
        What elements are ranked by, the largest first.
    shares : sequence of float
        Of the elements that are removed (``deleted``) or there (``inserted``).
    judge : callable
        Figures by name, given which elements are removed, a mask of the shape of ``figure``.

    Returns
    -------
    dict
        ``deleted`` and ``inserted``, each with the figures at every share by name.
    """
    order = np.argsort(-np.asarray(figure, dtype=np.float64).ravel(), kind="stable")
    found: dict[str, dict[str, list[float]]] = {"deleted": {}, "inserted": {}}
    for share in shares:
        first = round(share * len(order))
        for way, removed in (("deleted", order[:first]), ("inserted", order[first:])):
            mask = np.zeros(len(order), dtype=bool)
            mask[removed] = True
            for name, value in judge(mask.reshape(figure.shape)).items():
                found[way].setdefault(name, []).append(float(value))
    return found


def area_under(shares: Sequence[float], values: Sequence[float]) -> float:
    """Mean height of a curve over shares from 0 to 1, by trapezoids."""
    widths, heights = np.diff(shares), np.asarray(values, dtype=np.float64)
    return float((widths * (heights[1:] + heights[:-1]) / 2).sum())


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Mean of those that are defined; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
