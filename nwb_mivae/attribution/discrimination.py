"""Whether groups of cells tell stimuli apart: from repeats, cross-validated, beside groups of shuffled cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.clustering import standardised
from nwb_mivae.attribution.null_tests import against_draws
from nwb_mivae.clips import evenly

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["Discrimination", "discrimination", "showings"]

_Array = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

#: Different clips, and showings of each in the session, whose activity is compared: all pairs of them are.
_CLIPS_COMPARED, _SHOWINGS_COMPARED = 64, 8
#: Of each group, cells that are compared at most.
_CELLS_COMPARED = 256
#: Squared length below which a sum of showings is nothing but rounding.
_NO_LENGTH = 1e-6


class Discrimination(NamedTuple):
    """Of C groups of cells; all NaN where the session shows nothing again.

    Attributes
    ----------
    similarity : ndarray of float64, (C,)
        Of two showings of a clip (cosine of standardised activity), less that of showings of different clips.
    accuracy : ndarray of float64, (C,)
        Share of showings whose clip is told: the mean of which clip's other showings is most like it.
    accuracy_of_shuffled, p_value : ndarray of float64, (C,)
        Mean accuracy of as many cells drawn from all groups, and how often it is as far from that mean as the group's.
    chance : float
        Of guessing the clip.
    """

    similarity: _Array
    accuracy: _Array
    accuracy_of_shuffled: _Array
    p_value: _Array
    chance: float


def showings(contents: npt.NDArray[np.int64], stored: StoredSession) -> list[_Integers]:
    """Rows at which a session shows each of these clips (M, T) from beginning to end; those shown most often first."""
    different = np.unique(contents, axis=0)
    frames = different.shape[1]
    last = stored.n_frames - frames + 1
    known = np.concatenate([[0], np.cumsum(stored.valid)])
    whole = (known[frames:] - known[:last] == frames) & (stored.segment[frames - 1 :] == stored.segment[:last])
    found = []
    for clip in different:
        starts = np.flatnonzero(whole & (stored.content[:last] == clip[0]))
        for frame in range(1, frames):
            starts = starts[stored.content[starts + frame] == clip[frame]]
        apart: list[int] = []
        for start in starts.tolist():
            # One frame that stands for long is not shown again at every row.
            if not apart or start >= apart[-1] + frames:
                apart.append(start)
        found.append(evenly(np.asarray(apart, dtype=np.int64), _SHOWINGS_COMPARED))
    return sorted(found, key=len, reverse=True)[:_CLIPS_COMPARED]


def discrimination(
    stored: StoredSession,
    shown: list[_Integers],
    frames: int,
    groups: Sequence[_Integers],
    *,
    shuffles: int,
    random: np.random.Generator,
) -> Discrimination:
    """Compare showings of clips (:func:`showings`) of so many frames in the activity of groups of cells.

    Showings are told by means that they are not part of, so that nothing is fitted to what is judged. Cells are
    shuffled among the groups, whose sizes stay.
    """
    clip = np.repeat(np.arange(len(shown)), [len(starts) for starts in shown])
    same = (clip[:, None] == clip) & ~np.eye(len(clip), dtype=bool)
    different = clip[:, None] != clip
    nothing = np.full(len(groups), np.nan)
    if not same.any() or not different.any():
        return Discrimination(nothing, nothing, nothing, nothing, np.nan)
    some = [np.sort(random.permutation(cells)[:_CELLS_COMPARED]) for cells in groups]
    rows = (np.concatenate(shown)[:, None] + np.arange(frames)).ravel()
    borders = np.cumsum([0, *map(len, some)])
    by_cell = np.empty((int(borders[-1]), len(clip), frames), dtype=np.float32)
    for first, cells in zip(borders.tolist(), some, strict=False):
        activity = stored.neural[np.ix_(rows, cells)].astype(np.float64)
        by_cell[first : first + len(cells)] = standardised(activity.T).reshape(len(cells), len(clip), frames)
    places = [np.arange(first, end) for first, end in pairwise(borders.tolist())]
    similarity, accuracy = nothing.copy(), nothing.copy()
    for number, cells in enumerate(places):
        alike = _alike(by_cell[cells])
        similarity[number] = alike[same].mean() - alike[different].mean()
        accuracy[number] = _accuracy(alike, clip)
    chance = 1.0 / int((np.bincount(clip) > 1).sum())
    if len(groups) == 1:
        return Discrimination(similarity, accuracy, nothing, nothing, chance)
    by_shuffle = np.zeros((shuffles, len(groups)))
    for shuffle in range(shuffles):
        order = random.permutation(len(by_cell))
        by_shuffle[shuffle] = [_accuracy(_alike(by_cell[order[cells]]), clip) for cells in places]
    return Discrimination(similarity, accuracy, by_shuffle.mean(0), against_draws(accuracy, by_shuffle), chance)


def _alike(by_cell: npt.NDArray[np.float32]) -> _Array:
    """Cosines of all pairs of showings, of standardised activity (N, showings, T)."""
    by_showing = by_cell.transpose(1, 0, 2).reshape(by_cell.shape[1], -1)
    products = (by_showing @ by_showing.T).astype(np.float64)
    size = np.sqrt(np.maximum(products.diagonal(), np.finfo(np.float64).tiny))
    return np.asarray(products / np.outer(size, size))


def _accuracy(alike: _Array, clip: _Integers) -> float:
    """Share of the showings of repeated clips that are most like the mean of the other showings of their own clip.

    Cosines with means, not means of cosines: these vary more where a mean is of fewer showings, as that of a showing's
    own clip without itself is, and noise would be told more often than by chance.
    """
    member = np.eye(clip.max() + 1)[clip]
    repeated = member.sum(0) > 1
    itself = alike.diagonal()[:, None] * member
    products = alike @ member
    # Squares of the lengths of the sums of showings, without the one that is told.
    squares = (member * products).sum(0) - 2 * products * member + itself
    known = squares > _NO_LENGTH
    cosine = np.where(known, (products - itself) / np.sqrt(np.where(known, squares, 1.0)), 0.0)
    told = cosine[:, repeated].argmax(1) == np.cumsum(repeated)[clip] - 1
    return float(told[repeated[clip]].mean())
