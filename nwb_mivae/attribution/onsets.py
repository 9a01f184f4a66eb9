"""Onsets of the stimulus: where a picture replaces grey, another picture or another scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, StoredSession

__all__ = ["find_onsets", "has_strong_edges"]

_Integers = npt.NDArray[np.int64]

#: An onset changes the picture so many times as much as it changed within so many seconds before, and at least by so
#: much of the range of luminance, averaged over pixels.
_TIMES, _BEFORE, _LEAST_CHANGE = 4.0, 0.25, 0.02
#: Seconds after an onset whose picture says what kind of onset it was.
_LOOKED_AT = 0.1
#: Deviation of luminance below which a picture has no contrast to relate its edges to.
_LEAST_CONTRAST = 0.02
#: Pixels of frames that are compared at once.
_PIXELS_AT_ONCE = 2**22


def find_onsets(store: ClipStore, session: StoredSession) -> _Integers:
    """Rows of a session at which something new appears on the screen, in order.

    A change counts from one frame to the next, in the same stretch without gap, that is at least four times the
    changes of the quarter of a second before it, and at least two hundredths of the range of luminance, averaged over
    pixels; to a uniform field it does not count. So the first frame after grey, a change of still pictures and a cut in
    a movie are onsets, steady motion is none. Of changes within a quarter of a second the first counts; in the first
    quarter of a second of a stretch, which has no past to compare with, there are none.

    Returns
    -------
    ndarray of int64, (E,)
    """
    change = _changes(store, session)
    before = max(1, round(_BEFORE * session.frame_rate))
    sums = np.concatenate([[0.0], np.cumsum(change)])
    rows = np.arange(len(change))
    first = np.maximum(rows - before, 0)
    past = (sums[rows] - sums[first]) / before
    found = np.flatnonzero(
        (rows >= before)
        & (session.segment[rows] == session.segment[first])
        & (change >= np.maximum(_TIMES * past, _LEAST_CHANGE))
        & ~store.blank_content[session.content]
    )
    kept: list[int] = []
    for row in found.tolist():
        if not kept or row - kept[-1] > before:
            kept.append(row)
    return np.asarray(kept, dtype=np.int64)


def has_strong_edges(store: ClipStore, session: StoredSession, onsets: _Integers) -> npt.NDArray[np.bool_]:
    """Of each onset, whether its picture has more edges for its contrast than that of the median onset, (E,).

    The measure is the mean edge strength (:func:`~nwb_mivae.attribution.stimulus_statistics.stimulus_statistics`) over
    the standard deviation of luminance, a tenth of a second after the onset.
    """
    from nwb_mivae.attribution.stimulus_statistics import edge_strength

    later = max(0, round(_LOOKED_AT * session.frame_rate))
    rows = np.minimum(onsets + later, session.n_frames - 1)
    rows = np.where(session.segment[rows] == session.segment[onsets], rows, onsets)
    amount = np.zeros(len(onsets))
    for place, row in enumerate(rows.tolist()):
        luminance = np.asarray(store.stimulus[session.stimulus_row[row]], dtype=np.float64) / 255.0
        amount[place] = edge_strength(luminance[None]).mean() / (luminance.std() + _LEAST_CONTRAST)
    return np.asarray(amount > np.median(amount)) if len(amount) else np.zeros(0, dtype=np.bool_)


def _changes(store: ClipStore, session: StoredSession) -> npt.NDArray[np.float64]:
    """Mean absolute difference in luminance (0 to 1) to the frame before, (F,); 0 for the first of a stretch."""
    change = np.zeros(session.n_frames)
    follows = session.segment[1:] == session.segment[:-1]
    differs = np.flatnonzero(follows & (session.content[1:] != session.content[:-1])) + 1
    at_once = max(1, _PIXELS_AT_ONCE // (store.height * store.width))
    for first in range(0, len(differs), at_once):
        rows = differs[first : first + at_once]
        here, before = (store.stimulus[session.stimulus_row[each]].astype(np.int16) for each in (rows, rows - 1))
        change[rows] = np.abs(here - before).mean((1, 2)) / 255.0
    return change
