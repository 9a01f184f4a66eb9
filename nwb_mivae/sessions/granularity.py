"""What one row of a source is: judged from how long rows last, what follows them and how they are told."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.conventions import PICTURE_FILE_SUFFIXES
from nwb_mivae.sessions.session import Granularity
from nwb_mivae.sessions.showings import DISPLAY_FRAME_SECONDS, PARAMETERS, WHOLE, Showings
from nwb_mivae.sessions.templates import TemplateCatalogue

__all__ = ["judge_granularity"]

#: Movie frames are shown faster than this and without a pause; pictures are not.
_SHORTEST_PICTURE_SECONDS = 0.2


def judge_granularity(showings: Showings, catalogue: TemplateCatalogue) -> None:
    """Set what the rows of a source mostly are, and mark those that stand: pictures and gratings.

    Each stimulus of the source is judged by itself. Rows told by the name of a picture are marked already.
    """
    votes: dict[Granularity, int] = {}
    codes, stimuli = pd.factorize(showings.stimulus)
    for code in range(len(stimuli)):
        rows = np.flatnonzero((codes == code) & showings.shown)
        if not len(rows):
            continue
        kind = _kind(showings, rows, catalogue)
        votes[kind] = votes.get(kind, 0) + len(rows)
        showings.standing[rows] = kind in ("image", "parameters")
    showings.granularity = max(votes, key=lambda kind: votes[kind]) if votes else "none"


def _kind(showings: Showings, rows: npt.NDArray[np.int64], catalogue: TemplateCatalogue) -> Granularity:
    frame = showings.frame[rows]
    if 2 * (frame == PARAMETERS).sum() > len(rows):
        return "parameters"
    if 2 * showings.standing[rows].sum() > len(rows):
        return "image"
    if 2 * (frame == WHOLE).sum() > len(rows):
        single = [_is_picture(str(name), catalogue) for name in showings.template[rows]]
        return "image" if all(single) else "whole movie"
    duration = float(np.median(showings.stop[rows] - showings.start[rows]))
    pauses = showings.start[rows[1:]] - showings.stop[rows[:-1]]
    stands = duration >= _SHORTEST_PICTURE_SECONDS or (len(pauses) and np.median(pauses) > DISPLAY_FRAME_SECONDS)
    return "image" if stands else "movie frame"


def _is_picture(name: str, catalogue: TemplateCatalogue) -> bool:
    template = catalogue.found.get(name)
    return name.lower().endswith(PICTURE_FILE_SUFFIXES) if template is None else template.n_frames == 1
