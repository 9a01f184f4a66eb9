"""Correlation of clips' attribution with their own frames, with other clips', and with their own when shifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.association import Maps, partial_correlation, shifted_correlation

__all__ = ["KINDS", "RankedClip", "between_clips", "by_shift"]

_Array = npt.NDArray[np.float64]

#: Of a statistic as it is, and of the part of it that the other statistics do not explain.
KINDS = ("total", "unique")


@dataclass(frozen=True)
class RankedClip:
    """Maps of one clip of T frames, scaled as :func:`~nwb_mivae.attribution.association.rank_maps` does.

    Attributes
    ----------
    attributions : ndarray of float32, (R, T, H, W)
        Of each of its showings.
    statistics : ndarray of float32, (S, T, H, W)
        The same in every showing.
    shown : ndarray of int64, (T,)
        Equal numbers in two clips are frames of the same pixels.
    """

    attributions: Maps
    statistics: Maps
    shown: npt.NDArray[np.int64]

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether the attribution varies in each showing and frame, (R, T)."""
        return np.asarray(self.attributions.any(axis=(2, 3)))

    @cached_property
    def varies(self) -> npt.NDArray[np.bool_]:
        """Whether each statistic varies in each frame, (S, T)."""
        return np.asarray(self.statistics.any(axis=(2, 3)))

    @cached_property
    def among(self) -> _Array:
        """Correlation among the statistics in each frame, (T, S, S)."""
        by_frame = self.statistics.reshape(*self.statistics.shape[:2], -1).swapaxes(0, 1)
        return np.asarray(by_frame @ by_frame.swapaxes(1, 2), dtype=np.float64)


def by_shift(clip: RankedClip) -> _Array:
    """Correlation of a clip's attribution with its frames for every shift of the attribution.

    Frames in which the attribution or the statistic is constant are left out; the others count alike.

    Returns
    -------
    ndarray of float64, (2, S, 2 * H, 2 * W)
        By :data:`KINDS` and statistic; not shifted at [0, 0]. NaN throughout where no frame is left, or where, without
        a shift, the other statistics leave nothing.
    """
    statistics, _, height, width = clip.statistics.shape
    products = np.zeros((statistics, statistics, 2 * height, 2 * width))
    for maps, known in zip(clip.attributions, clip.known, strict=True):
        products += np.einsum(
            "jt,kthw->jkhw", (clip.varies & known).astype(np.float32), shifted_correlation(maps, clip.statistics)
        )
    used = (clip.varies[:, None] & clip.known).sum(axis=1)
    among = np.einsum("jt,tkl->jkl", used, clip.among)
    frames = used.sum(axis=1).astype(np.float64)
    found = np.full((len(KINDS), statistics, 2 * height, 2 * width), np.nan)
    for which in np.flatnonzero(frames):
        found[0, which] = products[which, which] / frames[which]
        unique = partial_correlation(np.moveaxis(products[which], 0, -1), among[which], frames[which], int(which))
        if np.isfinite(unique[0, 0]):
            # A map of which nothing is left at some shift correlates with nothing there.
            found[1, which] = np.nan_to_num(unique)
    return found


def between_clips(clips: Sequence[RankedClip]) -> _Array:
    """Correlation of each clip's attribution with each clip's frames, frame with frame.

    Frames of the same pixels in two clips are not compared.

    Parameters
    ----------
    clips : sequence of RankedClip, (C,)
        All of as many frames.

    Returns
    -------
    ndarray of float64, (2, S, C, C)
        By :data:`KINDS`, statistic, clip of the attribution, clip of the frames; on the diagonal what :func:`by_shift`
        gives without a shift. NaN where no frame is left.
    """
    statistics, n_frames = clips[0].varies.shape
    pairs = (statistics, len(clips), len(clips))
    products, frames = np.zeros((*pairs, statistics)), np.zeros(pairs)
    among = np.zeros((*pairs, statistics, statistics))
    for frame in range(n_frames):
        maps = np.stack([clip.attributions[:, frame].sum(axis=0).ravel() for clip in clips])
        product = np.stack(
            [maps @ np.stack([clip.statistics[k, frame].ravel() for clip in clips]).T for k in range(statistics)], -1
        )
        shown = np.array([clip.shown[frame] for clip in clips])
        different = (shown[:, None] != shown) | np.eye(len(clips), dtype=bool)
        showings = np.array([clip.known[:, frame].sum() for clip in clips])
        inner = np.stack([clip.among[frame] for clip in clips])
        for which in range(statistics):
            used = different & np.array([clip.varies[which, frame] for clip in clips])
            products[which] += product * used[..., None]
            frames[which] += used * showings[:, None]
            among[which] += (used * showings[:, None])[..., None, None] * inner
    total = [
        np.where(frames[which] > 0, products[which, ..., which] / np.maximum(frames[which], 1), np.nan)
        for which in range(statistics)
    ]
    unique = [partial_correlation(products[which], among[which], frames[which], which) for which in range(statistics)]
    return np.stack([np.stack(total), np.stack(unique)])
