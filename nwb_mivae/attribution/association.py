"""How much two maps of a frame have to do with each other: rank correlation, alone, beyond others, and when shifted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Maps", "partial_correlation", "rank_maps", "shifted_correlation"]

_Array = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

#: A frame whose values differ by less than this part of the largest is constant.
_CONSTANT = 1e-6
#: Least part of a map's variance that others must leave for it to have a part of its own.
_LEAST_LEFT = 1e-4


def rank_maps(values: npt.NDArray[np.floating]) -> Maps:
    """Ranks of a frame's pixels, so scaled that the sum of products of two such maps is their rank correlation.

    Ranks are taken within each frame: attribution and luminance are far from normal, with a few very large values,
    and how strongly a frame as a whole is relied on is no question of where. Ties share their mean rank (Spearman).

    Parameters
    ----------
    values : ndarray of float, (T, H, W)

    Returns
    -------
    ndarray of float32, (T, H, W)
        Mean 0 and sum of squares 1 in each frame; all zero where a frame is constant or holds a NaN: it has no
        correlation with anything.
    """
    from scipy.stats import rankdata

    flat = values.reshape(len(values), -1)
    ranks = np.zeros(flat.shape, dtype=np.float32)
    largest = np.abs(flat).max(axis=1)
    # NaN compares as false.
    varies = np.flatnonzero(flat.max(axis=1) - flat.min(axis=1) > _CONSTANT * largest)
    if len(varies):
        centred = rankdata(flat[varies], axis=1) - (flat.shape[1] + 1) / 2
        ranks[varies] = centred / np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return ranks.reshape(values.shape)


def partial_correlation(products: _Array, among: _Array, frames: _Array, which: int) -> _Array:
    """Rank correlation of attribution with one statistic when the others are regressed out of both.

    One least-squares fit of each for all the frames together, on ranks. All of it follows from sums of products of
    maps, so that it is had for every pair of clips and every shift without a fit to maps.

    Parameters
    ----------
    products : ndarray of float64, (..., S)
        Sum over frames of the correlation of attribution with each statistic.
    among : ndarray of float64, (..., S, S)
        The same among the statistics.
    frames : ndarray of float64, (...)
        Number of frames; with ``among`` it need not have all the dimensions that ``products`` has.
    which : int
        The statistic that is not regressed out.

    Returns
    -------
    ndarray of float64, (...)
        NaN where the others leave nothing of the statistic or of the attribution.
    """
    others = np.delete(np.arange(products.shape[-1]), which)
    # Statistics may be the same as others, or have no frame in which they vary.
    inverse = np.linalg.pinv(among[..., others[:, None], others], rcond=_CONSTANT, hermitian=True)
    shared = np.einsum("...kl,...l->...k", inverse, among[..., others, which])
    product = products[..., which] - (products[..., others] * shared).sum(axis=-1)
    explained = np.einsum("...k,...kl,...l->...", products[..., others], inverse, products[..., others])
    of_statistic = among[..., which, which] - (among[..., others, which] * shared).sum(axis=-1)
    of_attribution = frames - explained
    left = (of_statistic > _LEAST_LEFT * frames) & (of_attribution > _LEAST_LEFT * frames)
    return np.asarray(np.where(left, product / np.sqrt(np.where(left, of_statistic * of_attribution, 1.0)), np.nan))


def shifted_correlation(attribution: Maps, statistics: Maps) -> Maps:
    """Correlation of maps with statistics for every shift of the maps.

    A map is continued by mirroring at its borders and is then periodic in twice its height and twice its width; that
    is what is shifted, circularly. Shifted without mirroring, the borders of a map would meet in a seam that no true
    map has. Coarse maps would lose much of their coarseness by it, and correlate less with anything than the map that
    was not shifted does, for no reason: where both are coarse as luminance is in natural scenes, and have nothing to do
    with each other, a tenth of all p-values would be below 0.05.

    Parameters
    ----------
    attribution : ndarray of float32, (T, H, W)
        Scaled as :func:`rank_maps` does.
    statistics : ndarray of float32, (S, T, H, W)
        As ``attribution``.

    Returns
    -------
    ndarray of float32, (S, T, 2 * H, 2 * W)
        By shift in rows and in columns; not shifted at [0, 0]. Zero where a frame has no correlation.
    """
    from scipy.fft import irfft2, rfft2

    height, width = attribution.shape[1:]
    twice = (2 * height, 2 * width)
    mirrored = np.concatenate([attribution, attribution[:, ::-1]], axis=1)
    mirrored = np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2)
    products = irfft2(rfft2(mirrored) * np.conj(rfft2(statistics, s=twice)), s=twice)
    rows, columns = _window_counts(height), _window_counts(width)
    total = rows @ attribution @ columns.T
    squares = rows @ attribution**2 @ columns.T
    # A statistic has mean 0 and sum of squares 1; what of the map lies under it has not, once shifted.
    spread = squares - total**2 / (height * width)
    known = spread > _LEAST_LEFT
    return np.asarray(np.where(known, products / np.sqrt(np.where(known, spread, 1.0)), 0.0), dtype=np.float32)


def _window_counts(length: int) -> Maps:
    """How often each of ``length`` places lies in a window as long, by where it starts on the mirrored line."""
    place = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    inside = place[(np.arange(2 * length)[:, None] + np.arange(length)) % (2 * length)]
    counts = np.zeros((2 * length, length), dtype=np.float32)
    np.add.at(counts, (np.arange(2 * length)[:, None], inside), 1.0)
    return counts
