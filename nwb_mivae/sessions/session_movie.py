"""The screen of a whole session as one movie: which of its frames belong to which row of a table, and which repeat.

Dandiset 000402 has one movie in acquisition, and tables that name the stimuli and mark what was shown again by equal
values of a column (``condition_hash``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nwb_mivae.sessions.nwb import OpenedFile
from nwb_mivae.sessions.showings import Showings
from nwb_mivae.sessions.templates import Excerpt, TemplateCatalogue

__all__ = ["name_session_movies"]

#: Two showings of one condition may differ by so many frames, dropped or held at their ends.
_FRAMES_APART = 2


def name_session_movies(file: OpenedFile, catalogue: TemplateCatalogue, sources: Sequence[Showings]) -> None:
    """Give the frames of whole-session movies the names and blocks of the table rows they are shown in.

    What a table marks as shown more than once becomes a template of its own, an excerpt of the movie at its first
    showing, and the n-th frame of each showing the n-th frame of that.
    """
    movies = [source for source in sources if not source.is_table and source.path.startswith("acquisition/")]
    tables = [
        source
        for source in sources
        if source.is_table and not any(name in catalogue.found for name in set(source.template[source.shown]))
    ]
    for movie in movies:
        if len(movie) < 2 or str(movie.template[0]) not in catalogue.found:
            continue
        for table in tables:
            _name(file, catalogue, movie, table)


def _name(file: OpenedFile, catalogue: TemplateCatalogue, movie: Showings, table: Showings) -> None:
    tolerance = 0.5 * float(np.median(np.diff(movie.start)))
    first = np.searchsorted(movie.start, table.start - tolerance)
    last = np.searchsorted(movie.start, table.stop - tolerance)
    shown = np.flatnonzero(table.shown & (last > first) & (movie.start[np.minimum(first, len(movie) - 1)] < table.stop))
    showings: dict[str, list[npt.NDArray[np.int64]]] = {}
    for row in shown:
        frames = np.arange(first[row], last[row])
        movie.stimulus[frames], movie.block[frames] = table.stimulus[row], table.block[row]
        if table.condition[row]:
            showings.setdefault(str(table.condition[row]), []).append(frames)
    if not len(shown):
        return
    file.note("info", table.path, f"{len(shown)} rows name frames of {movie.path}")
    repeats, unequal = 0, 0
    for condition, each in showings.items():
        n_frames = int(np.median([len(frames) for frames in each]))
        alike = [frames for frames in each if abs(len(frames) - n_frames) <= _FRAMES_APART]
        unequal += len(each) - len(alike)
        if len(alike) < 2:
            continue
        name = f"{table.path.rpartition('/')[2]} {condition}"
        whole = catalogue.found[str(movie.template[alike[0][0]])]
        n_frames = len(alike[0])
        catalogue.found[name] = Excerpt(name, whole, int(movie.frame[alike[0][0]]), n_frames)
        for frames in alike:
            same = frames[:n_frames]
            movie.template[same], movie.frame[same] = name, np.arange(len(same))
        repeats += len(alike) - 1
    if repeats:
        file.note(
            "guess", table.path, f"{repeats} rows repeat another by their condition: taken frame by frame as the same"
        )
    if unequal:
        file.note(
            "guess", table.path, f"{unequal} rows are longer or shorter than others of their condition: no repeats"
        )
