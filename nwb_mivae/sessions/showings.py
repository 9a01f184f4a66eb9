"""Rows of one source of the frame table, on their way from a table or series of the file to presentations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nwb_mivae.sessions.session import Granularity

__all__ = ["BLANK", "DISPLAY_FRAME_SECONDS", "PARAMETERS", "UNKNOWN", "WHOLE", "Showings", "by_value"]

#: Codes in the place of a frame number: nothing but grey; a template from its first frame on, until it is expanded;
#: what parameters say, until it is drawn; something that cannot be known, until it is left out.
BLANK, WHOLE, PARAMETERS, UNKNOWN = -1, -2, -3, -4

#: A row shorter than this is one refresh of the display, of which a movie frame may take several.
DISPLAY_FRAME_SECONDS = 0.025


@dataclass
class Showings:
    """Rows of one table or series, columns of equal length.

    Attributes
    ----------
    path : str
        Of the table or series inside the file.
    is_table : bool
        Whether the ends are the file's own; a series has onsets only.
    start, stop : ndarray of float64
        Seconds.
    stimulus, template, parameters : ndarray of str
        As in ``Session.presentations``.
    frame : ndarray of int64
        Frame of the template, or one of the codes above.
    omitted : ndarray of bool
        An expected image was left out.
    standing : ndarray of bool
        A picture or grating that grey may follow, and no frame of a movie.
    block, row : ndarray of int64
        The file's block number or -1; the row of the source.
    condition : ndarray of str
        Rows with equal text show the same, frame by frame; empty where the file does not say so.
    grey_until : ndarray of float64
        End of a pause after the row that is taken for a grey screen, or NaN.
    goes_on : bool
        Whether a row begins with its frame and may show later ones too.
    granularity : Granularity
        What a row of the source is.
    unknown_because : str
        Why rows are unknown, to be said unless another source tells of their times.
    """

    path: str
    is_table: bool
    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    stimulus: npt.NDArray[np.object_]
    template: npt.NDArray[np.object_]
    frame: npt.NDArray[np.int64]
    parameters: npt.NDArray[np.object_]
    omitted: npt.NDArray[np.bool_]
    standing: npt.NDArray[np.bool_]
    block: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    condition: npt.NDArray[np.object_]
    grey_until: npt.NDArray[np.float64]
    goes_on: bool = False
    granularity: Granularity = "none"
    unknown_because: str = ""

    @classmethod
    def of_rows(
        cls,
        path: str,
        start: npt.NDArray[np.float64],
        stimulus: str | npt.NDArray[np.object_],
        template: str | npt.NDArray[np.object_],
        frame: npt.NDArray[np.int64],
        *,
        stop: npt.NDArray[np.float64] | None = None,
        is_table: bool = False,
    ) -> Showings:
        """Rows of which no more is known; a series has onsets and no ends."""
        n_rows = len(start)
        names = np.full(n_rows, template, dtype=object) if isinstance(template, str) else template
        return cls(
            path=path,
            is_table=is_table,
            start=np.asarray(start, dtype=np.float64),
            stop=np.full(n_rows, np.nan) if stop is None else np.asarray(stop, dtype=np.float64),
            stimulus=np.full(n_rows, stimulus, dtype=object) if isinstance(stimulus, str) else stimulus,
            template=np.where(frame == BLANK, "", names).astype(object),
            frame=np.asarray(frame, dtype=np.int64),
            parameters=np.full(n_rows, "", dtype=object),
            omitted=np.zeros(n_rows, dtype=bool),
            standing=np.zeros(n_rows, dtype=bool),
            block=np.full(n_rows, -1, dtype=np.int64),
            row=np.arange(n_rows, dtype=np.int64),
            condition=np.full(n_rows, "", dtype=object),
            grey_until=np.full(n_rows, np.nan),
        )

    def __len__(self) -> int:
        return len(self.start)

    def of(self, rows: npt.NDArray[Any]) -> Showings:
        """The same source with some of its rows, or some of them several times."""
        columns = ((item.name, getattr(self, item.name)) for item in fields(self))
        return replace(self, **{name: column[rows] for name, column in columns if isinstance(column, np.ndarray)})

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Rows that are neither grey nor unknown."""
        return np.asarray((self.frame != BLANK) & (self.frame != UNKNOWN))


def by_value(values: npt.NDArray[Any], function: Callable[[Any], Any]) -> npt.NDArray[np.object_]:
    """A function of each value of a column, called once for each different value."""
    codes, different = pd.factorize(values, use_na_sentinel=False)
    results = np.empty(len(different), dtype=object)
    results[:] = [function(value) for value in different]
    return np.asarray(results[codes], dtype=object)
