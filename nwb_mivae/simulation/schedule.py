"""What is on the screen when: the order of movies, and the display's clock with its faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation.configuration import SimulationConfiguration

__all__ = [
    "FLASHED_PATCHES",
    "FLASHED_PHOTOGRAPHS",
    "NATURAL_MOVIE",
    "Display",
    "Programme",
    "display",
    "plan_programme",
]

#: Kinds of movies.
NATURAL_MOVIE = "natural_movie"
FLASHED_PHOTOGRAPHS = "flashed_photographs"
FLASHED_PATCHES = "flashed_patches"

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Seconds after the session's start at which the display comes on; imaging is already running then.
_FIRST_REFRESH = 1.0


@dataclass(frozen=True)
class Programme:
    """How many movies an animal sees; the same numbers for every animal of a configuration.

    Attributes
    ----------
    showings : int
        Showings of movies in a session, repeats included.
    shared, own : int
        Different movies that all animals see, and that this animal alone sees.
    repeated : int
        How many of the shared movies, the first ones, are shown ``repeats`` times instead of once.
    kinds : tuple of str, (shared + own,)
        Kind of each movie, shared ones first: :data:`NATURAL_MOVIE`, :data:`FLASHED_PHOTOGRAPHS` or
        :data:`FLASHED_PATCHES`.
    """

    showings: int
    shared: int
    own: int
    repeated: int
    kinds: tuple[str, ...]


def plan_programme(configuration: SimulationConfiguration) -> Programme:
    """Fill the session's minutes with movies.

    Raises
    ------
    SimulationError
        If not even one movie, with grey before and after it, fits into the session.
    """
    frames = round(configuration.minutes * 60.0 * configuration.frame_rate)
    grey = round(configuration.grey_seconds * configuration.frame_rate)
    movie = configuration.frames_per_movie
    if movie < 2:
        raise SimulationError(
            f"movies of {movie} frames",
            expected="at least 2 frames",
            remedy="raise movie_seconds or frame_rate",
            object_path="movie_seconds",
        )
    whole_blocks, rest = divmod(frames - grey, configuration.movies_per_block * movie + grey)
    showings = whole_blocks * configuration.movies_per_block + max(0, rest - grey) // movie
    if showings < 1:
        needed = (2 * grey + movie) / configuration.frame_rate / 60.0
        raise SimulationError(
            f"{configuration.minutes:g} minutes, too short for one movie of {configuration.movie_seconds:g} s",
            expected=f"at least {needed:.2f} minutes",
            remedy="ask for more minutes or shorter movies",
            object_path="minutes",
        )
    again = configuration.repeats - 1
    repeated = round(configuration.repeated_fraction * showings / again)
    repeated = min(repeated, (showings - 1) // configuration.repeats)
    different = showings - again * repeated
    shared = max(repeated, round(configuration.shared_fraction * different))
    own = different - shared
    return Programme(
        showings=showings,
        shared=shared,
        own=own,
        repeated=repeated,
        kinds=_kinds(configuration.flashed_fraction, shared, own),
    )


def _kinds(flashed_fraction: float, shared: int, own: int) -> tuple[str, ...]:
    """Kind of each movie; the shared ones have their part of the flashes, and one rather than the own ones."""
    flashed = round(flashed_fraction * (shared + own))
    flashed_shared = -(-flashed * shared // (shared + own))
    places = [
        *_spread(flashed_shared, shared),
        *(shared + place for place in _spread(flashed - flashed_shared, own)),
    ]
    kinds = [NATURAL_MOVIE] * (shared + own)
    for number, place in enumerate(places):
        kinds[place] = FLASHED_PATCHES if number % 2 else FLASHED_PHOTOGRAPHS
    return tuple(kinds)


def _spread(chosen: int, n: int) -> list[int]:
    """Places of the chosen among n, at even distances; the first place is one, as repeated movies are the first."""
    return [number * n // chosen for number in range(chosen)]


@dataclass(frozen=True)
class Display:
    """The display's refreshes, F in all, from the first grey screen to the last.

    Attributes
    ----------
    time : ndarray of float64, (F + 1,)
        Seconds at which each refresh appears; the last entry is when the last one ends.
    movie, frame : ndarray of int64, (F,)
        What is on the screen: number of the animal's movie (shared ones first) and frame in it, -1 for grey.
    block, repeat : ndarray of int64, (F,)
        Block of movies, and how often this movie was shown before; -1 for grey.
    dropped : ndarray of bool, (F,)
        Where the refresh failed, so that the picture before it stayed.
    """

    time: FloatArray
    movie: IntArray
    frame: IntArray
    block: IntArray
    repeat: IntArray
    dropped: npt.NDArray[np.bool_]

    @property
    def n_refreshes(self) -> int:
        """F."""
        return len(self.movie)

    @property
    def presented(self) -> IntArray:
        """(P,) refreshes that brought a new movie frame: the rows of the presentation table."""
        return np.flatnonzero((self.movie >= 0) & ~self.dropped)

    @property
    def presentation(self) -> IntArray:
        """(F,) row of the presentation table that began at this refresh, -1 for grey and dropped refreshes."""
        rows = np.full(self.n_refreshes, -1, dtype=np.int64)
        presented = self.presented
        rows[presented] = np.arange(len(presented))
        return rows

    @property
    def presentation_stop(self) -> FloatArray:
        """(P,) seconds at which the next picture, or grey, replaced each presented frame."""
        changes = np.append(np.flatnonzero(~self.dropped), self.n_refreshes)
        following = changes[np.searchsorted(changes, self.presented, side="right")]
        return np.asarray(self.time[following])


def display(
    configuration: SimulationConfiguration,
    programme: Programme,
    order: np.random.Generator,
    faults: np.random.Generator,
) -> Display:
    """Order the movies of one animal at random and show them, with the faults the configuration asks for."""
    movies = np.concatenate(
        [
            np.arange(programme.shared + programme.own),
            np.tile(np.arange(programme.repeated), configuration.repeats - 1),
        ]
    )
    movies = order.permutation(movies)
    seen: dict[int, int] = {}
    grey = round(configuration.grey_seconds * configuration.frame_rate)
    length = configuration.frames_per_movie

    pause = np.full((4, grey), -1, dtype=np.int64)
    parts = [pause]
    for showing, movie in enumerate(movies.tolist()):
        if showing and showing % configuration.movies_per_block == 0:
            parts.append(pause)
        constant = (movie, showing // configuration.movies_per_block, seen.get(movie, 0))
        seen[movie] = constant[2] + 1
        part = np.empty((4, length), dtype=np.int64)
        part[[0, 2, 3]] = np.array(constant)[:, None]
        part[1] = np.arange(length)
        parts.append(part)
    parts.append(pause)
    table = np.concatenate(parts, axis=1)
    n = table.shape[1]

    dropped = (table[0] >= 0) & (faults.random(n) < configuration.dropped_frames)
    on_screen = np.maximum.accumulate(np.where(dropped, 0, np.arange(n)))
    table = table[:, on_screen]

    period = 1.0 / configuration.frame_rate
    # Refreshes keep their order: no onset strays further than 0.4 of a period.
    jitter = np.clip(configuration.display_jitter * faults.standard_normal(n + 1), -0.4 * period, 0.4 * period)
    time = np.arange(n + 1) * period + np.where(np.arange(n + 1) == 0, 0.0, jitter)
    return Display(
        time=time + _FIRST_REFRESH, movie=table[0], frame=table[1], block=table[2], repeat=table[3], dropped=dropped
    )
