"""What is true of a file that a layout builder wrote: cells, stimuli, and what each trace and picture encodes.

Every trace is a known function of true time (:class:`LinearInTime`, :class:`SineInTime`) and every picture carries its
own number in its pixels (:func:`pictures`, :func:`number_in`), so a test can prove which moment a value belongs to and
which frame was on screen, whatever a reader did in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "NOTHING_KNOWN",
    "NO_PICTURE",
    "Encoding",
    "LayoutTruth",
    "LinearInTime",
    "Presentation",
    "SineInTime",
    "SpikesPerPresentation",
    "number_in",
    "pictures",
]

FloatArray = npt.NDArray[np.float64]

#: :meth:`LayoutTruth.picture_shown` where a grey screen, or something without pixels in the file, was shown.
NO_PICTURE = -1
#: :meth:`LayoutTruth.picture_shown` where the file does not tell of a stimulus.
NOTHING_KNOWN = -2


class Encoding(Protocol):
    """What the cells' values are as a function of true time."""

    def values(self, times: FloatArray) -> FloatArray:
        """Values (T, N) that the valid cells have at these times, in seconds."""

    def lateness(self, times: FloatArray, values: FloatArray) -> FloatArray:
        """Seconds (T, N) by which values that are said to be of these times were acquired before them."""


@dataclass(frozen=True)
class LinearInTime:
    """Cell ``i`` has the value ``offset[i] + slope[i] t``, which interpolation and symmetric filters leave exact."""

    offset: FloatArray
    slope: FloatArray

    @classmethod
    def of(cls, n_cells: int, *, first: int = 0) -> LinearInTime:
        """Different offsets and slopes for ``n_cells`` cells, counted from ``first`` in the session."""
        number = np.arange(first, first + n_cells, dtype=np.float64)
        return cls(1.0 + 0.25 * number, 0.5 + 0.125 * (number % 8))

    def values(self, times: FloatArray) -> FloatArray:
        return self.offset + self.slope * np.asarray(times, dtype=np.float64)[:, None]

    def lateness(self, times: FloatArray, values: FloatArray) -> FloatArray:
        return np.asarray(times, dtype=np.float64)[:, None] - (values - self.offset) / self.slope


@dataclass(frozen=True)
class SineInTime:
    """Cell ``i`` has the value ``offset + amplitude sin(2 pi t / period[i])``; its running percentiles are constant.

    For raw fluorescence: dF/F with a constant baseline is ``(F - F0) / F0``, so a reader's scale and offset are fitted
    before :meth:`lateness`, which is one number per cell, repeated over time.
    """

    period: FloatArray
    offset: float = 100.0
    amplitude: float = 50.0

    def values(self, times: FloatArray) -> FloatArray:
        phase = 2 * np.pi * np.asarray(times, dtype=np.float64)[:, None] / self.period
        return self.offset + self.amplitude * np.sin(phase)

    def lateness(self, times: FloatArray, values: FloatArray) -> FloatArray:
        late = np.empty(len(self.period))
        for cell, period in enumerate(self.period):
            phase = 2 * np.pi * np.asarray(times, dtype=np.float64) / period
            basis = np.stack([np.sin(phase), np.cos(phase), np.ones_like(phase)], axis=1)
            sine, cosine, _ = np.linalg.lstsq(basis, values[:, cell], rcond=None)[0]
            late[cell] = -np.arctan2(cosine, sine) * period / (2 * np.pi)
        return np.broadcast_to(late, (len(times), len(late))).copy()


@dataclass(frozen=True)
class SpikesPerPresentation:
    """Each unit fires one digit (base 4) of a row's number in each presentation, and never outside presentations.

    The number of row ``r`` is ``r + 1``, the lowest digit is the first unit's. In even rows all spikes fall just after
    the onset, the first :attr:`margin` seconds after it, in odd rows as close before the end, so bins that are wrong by
    more than that give other numbers.
    """

    n_units: int
    margin: float = 0.0005

    def counts(self, n_rows: int) -> npt.NDArray[np.int64]:
        """Spikes (rows, units) in each of the first ``n_rows`` presentations."""
        number = np.arange(1, n_rows + 1)
        if n_rows >= 4**self.n_units:
            raise ValueError(f"{n_rows} rows: expected fewer than {4**self.n_units} for {self.n_units} units")
        return np.stack([(number >> 2 * unit) & 3 for unit in range(self.n_units)], axis=1)

    def rows(self, counts: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        """Rows that these counts (T, units) are of, -1 where nothing fired."""
        digits = np.asarray(counts, dtype=np.int64)
        return np.asarray((digits * 4 ** np.arange(self.n_units)).sum(axis=1) - 1)

    def spike_times(self, presentations: Sequence[Presentation]) -> list[FloatArray]:
        """Spike times of each unit in seconds, in order."""
        trains: list[list[float]] = [[] for _ in range(self.n_units)]
        for row, (shown, digits) in enumerate(zip(presentations, self.counts(len(presentations)), strict=True)):
            for train, digit in zip(trains, digits, strict=True):
                from_edge = self.margin + 0.0002 * np.arange(digit)
                train += (shown.stop - from_edge[::-1] if row % 2 else shown.start + from_edge).tolist()
        return [np.array(train) for train in trains]


@dataclass(frozen=True)
class Presentation:
    """One row of the frame table that a reader should get out of the file, as the file tells it.

    Attributes
    ----------
    start, stop : float
        Seconds; where the file has onsets only, ``stop`` is the next onset.
    stimulus : str
        What the file calls it.
    template : str or None
        Name of the object that holds the pixels (or would), ``None`` for gratings, grey and the like.
    frame : int
        Frame of the template in its true order, from 0; -1 where there is none.
    picture : int
        The number in the pixels (:func:`number_in`), :data:`NO_PICTURE` where the file holds none.
    parameters : mapping
        What was shown, where parameters say so; the file's own column names and values.
    blank, omitted : bool
        Grey screen; grey screen in place of an expected image.
    block : int
        The file's block number, -1 where it has none.
    """

    start: float
    stop: float
    stimulus: str
    template: str | None = None
    frame: int = -1
    picture: int = NO_PICTURE
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    blank: bool = False
    omitted: bool = False
    block: int = -1


@dataclass(frozen=True)
class LayoutTruth:
    """One session in the layout of a dandiset.

    Attributes
    ----------
    name : str
        Short name of the layout.
    dandisets : tuple of str
        Where such files are published.
    files : tuple of Path
        The files of the session, in the order of their cells; several where each holds one imaging plane.
    n_cells_all, n_cells_valid : int
        Rows of the ROI (or units) tables, and those that are cells; summed over the files.
    trace_kind : str or None
        What a reader should choose, as it is stored: ``"dff"``, ``"events"``, ``"fluorescence"`` (of which a reader may
        compute dF/F), ``"spikes"``, or ``None``.
    trace_path : str or None
        Path of the series to be chosen inside its file (the first of them where planes have one each).
    positions : ndarray, (n_cells_valid, 3)
        x (columns of the image), y (rows), z (depth) in micrometres, NaN where the file does not say.
    pixels : ndarray, (n_cells_valid, 2), or None
        Where the cells are in the image of their plane, column and row in pixels.
    presentations : tuple of Presentation
        Every row in order of time that can be recovered. Pauses that a reader may fill with grey are not among them.
    encodes : Encoding or None
        The chosen traces of the valid cells as a function of true time.
    trace_times : ndarray, (T,)
        Seconds at which the (first plane's) traces were sampled; empty where there are spikes.
    spikes : SpikesPerPresentation or None
        What the units that pass the quality filter tell, in the order of the units table; then ``encodes`` is ``None``.
    invalid_times : tuple of (start, stop)
        Seconds that the file says are not to be used.
    time_uncertainty : float
        Seconds by which true times may be later than the file says, where the file cannot say better.
    rows_lost : mapping of str to int
        Path of a table or series to how many of its rows cannot be used, and must be left out aloud.
    templates_with_pixels : tuple of str
        Names of the objects whose pixels can be shown.
    templates_without_pixels : tuple of str
        Names of what was shown but has no pixels in the file.
    running, pupil : str or None
        Paths of these series inside the (first) file.
    """

    name: str
    dandisets: tuple[str, ...]
    files: tuple[Path, ...]
    n_cells_all: int
    n_cells_valid: int
    trace_kind: str | None
    trace_path: str | None
    positions: FloatArray
    presentations: tuple[Presentation, ...]
    encodes: Encoding | None
    trace_times: FloatArray
    pixels: FloatArray | None = None
    spikes: SpikesPerPresentation | None = None
    invalid_times: tuple[tuple[float, float], ...] = ()
    time_uncertainty: float = 0.0
    rows_lost: Mapping[str, int] = field(default_factory=dict)
    templates_with_pixels: tuple[str, ...] = ()
    templates_without_pixels: tuple[str, ...] = ()
    running: str | None = None
    pupil: str | None = None

    def frame_shown(self, times: Sequence[float] | FloatArray) -> npt.NDArray[np.int64]:
        """Row of :attr:`presentations` that was on screen at each time, -1 where the file does not tell."""
        asked = np.asarray(times, dtype=np.float64)
        start = np.array([row.start for row in self.presentations])
        stop = np.array([row.stop for row in self.presentations])
        if len(start) == 0:
            return np.full(len(asked), -1)
        row = np.searchsorted(start, asked, side="right") - 1
        return np.where((row >= 0) & (asked < stop[row]), row, -1).astype(np.int64)

    def picture_shown(self, times: Sequence[float] | FloatArray) -> npt.NDArray[np.int64]:
        """Number in the pixels on screen at each time, or :data:`NO_PICTURE`, or :data:`NOTHING_KNOWN`."""
        numbers = np.array([row.picture for row in self.presentations] + [NOTHING_KNOWN])
        return np.asarray(numbers[self.frame_shown(times)])


def pictures(n_pictures: int, height: int = 12, width: int = 16, *, first: int = 0) -> npt.NDArray[np.uint8]:
    """Pictures (n, height, width) that carry their numbers ``first``, ``first + 1``, ... below 4096 in their pixels.

    The upper left quarter is black; the upper right, lower left and lower right hold a hexadecimal digit each in steps
    of 16 grey levels, so the number survives resizing and a change of the aspect ratio, and no picture is uniform.
    """
    number = np.arange(first, first + n_pictures)
    if first < 0 or first + n_pictures > 16**3:
        raise ValueError(f"numbers {first} to {first + n_pictures - 1}: expected 0 to 4095")
    levels = [np.zeros_like(number), *(8 + 16 * ((number >> shift) & 15) for shift in (8, 4, 0))]
    drawn = np.zeros((n_pictures, height, width), dtype=np.uint8)
    upper, left = height // 2, width // 2
    for level, rows, columns in zip(
        levels,
        (slice(None, upper), slice(None, upper), slice(upper, None), slice(upper, None)),
        (slice(None, left), slice(left, None), slice(None, left), slice(left, None)),
        strict=True,
    ):
        drawn[:, rows, columns] = level[:, None, None].astype(np.uint8)
    return drawn


def number_in(picture: npt.NDArray[np.generic]) -> int:
    """The number that a picture (height, width) of :func:`pictures` carries, -1 where it is not one of them."""
    height, width = picture.shape[:2]
    grey = np.asarray(picture, dtype=np.float64).reshape(height, width, -1).mean(axis=2)

    def level(row: float, column: float) -> float:
        """Mean of the inner part of the quarter whose centre this is."""
        y, x = int(row * height), int(column * width)
        reach_y, reach_x = max(height // 12, 0), max(width // 12, 0)
        return float(grey[y - reach_y : y + reach_y + 1, x - reach_x : x + reach_x + 1].mean())

    if level(0.25, 0.25) > 4:
        return NO_PICTURE
    number = 0
    for row, column in ((0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        digit = round((level(row, column) - 8) / 16)
        if not 0 <= digit <= 15:
            return NO_PICTURE
        number = 16 * number + digit
    return number
