"""Alignment against truth: traces that say when they were sampled, and screens whose every refresh is known.

Nothing here is judged by what alignment found. The truth is a screen (the time of every refresh, and the picture it
showed) and a microscope (the time of every sample of every plane); the table and the traces are made from them, with
all that goes wrong in recordings, and what alignment makes of the table and the traces is compared with the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.alignment import AlignedSession, AlignmentConfiguration, align
from nwb_mivae.clips import ClipsConfiguration, prepare
from nwb_mivae.errors import AlignmentError
from nwb_mivae.sessions import read_session
from nwb_mivae.sessions.session import MultiPlaneTraces, SampledTraces
from tests.alignment.sessions import make_session, movie, presentation_table, sampled
from tests.nwb_files import add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write

FloatArray = npt.NDArray[np.float64]

#: Seconds that no figure of time may be off by, interpolation apart.
EXACT = 1e-3


@dataclass
class Screen:
    """What was on the screen: refreshes at ``time`` (R + 1,), each of frame ``picture`` (R,) of showing ``showing``."""

    time: FloatArray
    picture: npt.NDArray[np.int64]
    showing: npt.NDArray[np.int64]
    jitter: float
    #: Of each showing, how many refreshes were late and how many frame numbers were never shown.
    held: int = 0
    dropped: int = 0
    repeated: int = 0
    pauses: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))

    def index_at(self, times: FloatArray) -> FloatArray:
        """The (fractional) number of refreshes until each of these times."""
        return np.interp(times, self.time, np.arange(len(self.time), dtype=np.float64))


def make_screen(random: np.random.Generator, rate: float, drift: float, jitter: float, skips: bool) -> Screen:
    """Three showings of a movie with pauses between; pictures late, numbers left out and shown twice in the second."""
    period = (1 + drift) / rate
    time, picture, showing = [20.0 + random.uniform(0, 5)], [], []
    screen = Screen(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), jitter * period)
    pauses = []
    for turn in range(3):
        number = 0
        late = set(random.choice(np.arange(5, 45, 8), 3, replace=False).tolist()) if turn == 1 else set()
        twice = set(random.choice(np.arange(50, 75, 8), 2, replace=False).tolist()) if turn == 1 else set()
        while number < 80:
            refreshes = 1
            if number in late:
                refreshes = int(random.integers(2, 6))
                screen.held += refreshes - 1
            for _ in range(refreshes):
                picture.append(number)
                showing.append(turn)
                time.append(time[-1] + period)
            if number in twice:
                # The display was told the same number again: a row of its own.
                twice.discard(number)
                screen.repeated += 1
                continue
            if refreshes > 1 and skips:
                screen.dropped += refreshes - 1
                number += refreshes - 1
            number += 1
        # A grey screen, without rows; two of ordinary length.
        pauses.append((time[-1], time[-1] + random.uniform(12, 30) * period))
        picture.append(-1)
        showing.append(-1)
        time.append(pauses[-1][1])
    screen.time = np.array(time)
    screen.time[1:-1] += random.uniform(-1, 1, len(time) - 2) * screen.jitter
    screen.picture, screen.showing, screen.pauses = np.array(picture), np.array(showing), np.array(pauses)
    return screen


def table_of(screen: Screen, stops: str) -> pd.DataFrame:
    """One row per picture put on the screen: one that was held is one row, one shown twice is two."""
    shown = screen.picture >= 0
    first, last = [], []
    for refresh in np.flatnonzero(shown):
        same = refresh > 0 and screen.picture[refresh] == screen.picture[refresh - 1]
        if same and not (screen.repeated and _is_second_row(screen, refresh)):
            last[-1] = refresh
        else:
            first.append(refresh)
            last.append(refresh)
    start = screen.time[first]
    period = float(np.median(np.diff(screen.time)))
    stop = {
        "next": screen.time[np.array(last) + 1],
        "nominal": start + period,
        "unknown": np.full(len(start), np.nan),
    }[stops]
    return presentation_table(start, stop, screen.picture[first])


def _is_second_row(screen: Screen, refresh: int) -> bool:
    """Pictures numbered 50 and more are never held, only shown twice."""
    return bool(screen.picture[refresh] >= 50)


@dataclass
class Plane:
    """One imaging plane: its sample times, and traces that tell the time, the refresh and a sine."""

    timestamps: FloatArray
    traces: SampledTraces


def make_plane(
    random: np.random.Generator, screen: Screen, rate: float, drift: float, delay: float, irregular: float, gaps: int
) -> Plane:
    seconds = screen.time[-1] - screen.time[0] + 12.0
    timestamps = screen.time[0] - 5.0 + delay + np.arange(int(seconds * rate)) * (1 + drift) / rate
    timestamps += random.uniform(-irregular, irregular, len(timestamps)) / rate
    for begin in random.uniform(screen.time[0], screen.time[-1], gaps):
        timestamps = timestamps + np.where(timestamps > begin, 3.0 / rate, 0.0)
    since = timestamps - screen.time[0]
    values = np.stack([since, screen.index_at(timestamps), np.sin(since)], axis=1)
    return Plane(timestamps, sampled(timestamps, values))


def step_around(timestamps: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    """The longest sampling step that each interval ``[start, stop]`` reaches into."""
    steps = np.diff(timestamps)
    first = np.clip(np.searchsorted(timestamps, start, side="right") - 1, 0, len(steps) - 1)
    last = np.clip(np.searchsorted(timestamps, stop, side="left") - 1, 0, len(steps) - 1)
    return np.array([steps[a : b + 1].max() for a, b in zip(first, np.maximum(first, last), strict=True)])


def exact_mean(function: object, corners: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
    """The mean over each interval of a function that is linear between ``corners``."""
    result = []
    for a, b in zip(start, stop, strict=True):
        at = np.r_[a, corners[(corners > a) & (corners < b)], b]
        result.append(np.trapezoid(function(at), at) / (b - a))  # type: ignore[operator]
    return np.array(result)


def known_frames(
    start: FloatArray, stop: FloatArray, planes: list[Plane]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which intervals lie in the recording of every plane and in none of its gaps; and which just touch a border."""
    known, unsure = np.ones(len(start), dtype=bool), np.zeros(len(start), dtype=bool)
    for plane in planes:
        times = plane.timestamps
        known &= (start >= times[0]) & (stop <= times[-1])
        for gap in np.flatnonzero(np.diff(times) > 1.75 * np.median(np.diff(times))):
            known &= (stop <= times[gap]) | (start >= times[gap + 1])
            for border in times[gap : gap + 2]:
                unsure |= (np.abs(start - border) < 2e-6) | (np.abs(stop - border) < 2e-6)
    return known, unsure


def check_activity(aligned: AlignedSession, screen: Screen, planes: list[Plane], lag: float) -> None:
    """Every valid frame tells its own time: below a millisecond, plus what straight lines between samples allow."""
    start, stop = aligned.time + lag, aligned.stop_time + lag
    known, unsure = known_frames(start, stop, planes)
    for number, plane in enumerate(planes):
        time_of, refresh_of, sine_of = aligned.neural[:, 3 * number : 3 * number + 3].astype(np.float64).T
        valid = aligned.valid
        a, b = start[valid], stop[valid]
        # A ramp is a straight line: its mean is the middle of the frame, whatever the sampling.
        decoded = time_of[valid] + screen.time[0]
        assert np.abs(decoded - 0.5 * (a + b)).max(initial=0.0) < EXACT
        # Between samples `step` apart a function whose slope stays in [low, high] is within (high - low) step / 4 of
        # the straight line. The refresh counter rises by one per refresh.
        step = step_around(plane.timestamps, a, b)
        slopes = 1 / np.diff(screen.time)
        low, high = _extremes_around(screen.time, slopes, a - step, b + step)
        expected = exact_mean(screen.index_at, screen.time, a, b)
        # Activity is kept in single precision.
        rounding = 1e-6 * len(screen.time)
        assert np.all(np.abs(refresh_of[valid] - expected) < (high - low) * step / 4 + high * EXACT + rounding)
        # Where the screen is regular the refresh is known to a millisecond of screen time.
        regular = (high - low < 1e-9) & (high > 0)
        assert np.all(np.abs(refresh_of[valid] - expected)[regular] / high[regular] < EXACT)
        # A smooth signal: the error of linear interpolation, step^2 / 8 of the second derivative.
        begin, end = a - screen.time[0], b - screen.time[0]
        mean_sine = (np.cos(begin) - np.cos(end)) / (end - begin)
        assert np.all(np.abs(sine_of[valid] - mean_sine) < EXACT + step**2 / 8)

    # A frame is valid if and only if it is known in every plane.
    assert np.array_equal(aligned.valid[~unsure], known[~unsure])
    assert np.isfinite(aligned.neural).all()
    assert not aligned.neural[~aligned.valid].any()


def _extremes_around(
    corners: FloatArray, slopes: FloatArray, start: FloatArray, stop: FloatArray
) -> tuple[FloatArray, FloatArray]:
    # Before the first and behind the last refresh the counter stands still.
    padded = np.r_[0.0, slopes, 0.0]
    first = np.searchsorted(corners, start, side="right")
    last = np.searchsorted(corners, stop, side="left")
    pairs = [padded[a : b + 1] for a, b in zip(first, np.maximum(first, last), strict=True)]
    return np.array([pair.min() for pair in pairs]), np.array([pair.max() for pair in pairs])


def check_pictures(aligned: AlignedSession, screen: Screen) -> None:
    """Frame by frame, what alignment says was on the screen is what was on the screen, no refresh left out."""
    shown = np.flatnonzero(screen.picture >= 0)
    assert len(aligned.time) == len(shown)
    assert aligned.frame.tolist() == screen.picture[shown].tolist()
    # A picture that was held is divided evenly, the refreshes of the screen are uneven by their jitter.
    assert np.abs(aligned.time - screen.time[shown]).max() < EXACT + 2 * screen.jitter
    at = np.searchsorted(screen.time, 0.5 * (aligned.time + aligned.stop_time), side="right") - 1
    assert screen.picture[at].tolist() == aligned.frame.tolist()
    # One segment per showing.
    assert aligned.segment.tolist() == screen.showing[shown].tolist()
    same = np.diff(aligned.segment) == 0
    assert np.all(aligned.time[1:][same] == aligned.stop_time[:-1][same])
    report = aligned.report
    assert (report.frames_held, report.frames_dropped, report.frames_repeated) == (
        screen.held,
        screen.dropped,
        screen.repeated,
    )


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    imaging=st.lists(st.floats(3.0, 60.0), min_size=1, max_size=3),
    display=st.floats(10.0, 144.0),
    drift_of_imaging=st.sampled_from([0.0, 20e-6, -300e-6, 2e-3, -0.02, 0.05]),
    drift_of_display=st.sampled_from([0.0, -50e-6, 1e-3, -0.03]),
    jitter=st.sampled_from([0.0, 0.02, 0.1]),
    irregular=st.sampled_from([0.0, 0.05, 0.3]),
    gaps=st.integers(0, 2),
    skips=st.booleans(),
    stops=st.sampled_from(["next", "nominal", "unknown"]),
    lag=st.sampled_from([0.0, 0.2, -0.1]),
)
def test_every_frame_has_the_activity_of_its_own_time_at_any_ratio_of_clocks(
    seed, imaging, display, drift_of_imaging, drift_of_display, jitter, irregular, gaps, skips, stops, lag
):
    random = np.random.default_rng(seed)
    screen = make_screen(random, display, drift_of_display, jitter, skips)
    planes = [
        make_plane(random, screen, rate, drift_of_imaging, delay, irregular, gaps)
        for rate, delay in zip(imaging, random.uniform(0, 1, len(imaging)) / np.array(imaging), strict=True)
    ]
    traces = planes[0].traces if len(planes) == 1 else MultiPlaneTraces([plane.traces for plane in planes])
    session = make_session(table_of(screen, stops), traces, [movie(200)])
    try:
        aligned = align(session, AlignmentConfiguration(lag=lag))
    except AlignmentError:
        shown = np.flatnonzero(screen.picture >= 0)
        assert not known_frames(screen.time[shown] + lag, screen.time[shown + 1] + lag, planes)[0].any()
        return
    check_pictures(aligned, screen)
    check_activity(aligned, screen, planes, lag)
    assert aligned.report.neural_gaps == sum(plane.gaps for plane in aligned.report.planes)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), imaging=st.floats(3.0, 60.0), shown=st.floats(0.21, 4.0), drift=st.floats(-0.02, 0.02)
)
def test_standing_images_have_the_activity_of_their_own_time(seed, imaging, shown, drift):
    random = np.random.default_rng(seed)
    start = 20.0 + np.cumsum(shown * (1 + random.uniform(-0.02, 0.02, 20)) + 0.3)
    stop = start + shown
    screen = Screen(np.r_[start, stop[-1]], np.arange(20), np.zeros(20, dtype=np.int64), 0.0)
    plane = make_plane(random, screen, imaging, drift, 0.0, 0.05, 1)
    session = make_session(presentation_table(start, stop, np.arange(20)), plane.traces, [movie(20)])
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    check_activity(aligned, screen, [plane], 0.0)
    # Every image is filled by frames of one length, and nothing but it.
    for image in range(20):
        own = aligned.frame == image
        assert aligned.time[own][0] == start[image]
        assert aligned.stop_time[own][-1] == pytest.approx(stop[image])
        assert np.ptp((aligned.stop_time - aligned.time)[own]) < 1e-9


@pytest.mark.parametrize("frames_per_second", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("above", [1.1, 1.5, 1.9, 2.0, 3.3, 7.0])
def test_what_is_faster_than_the_frames_is_attenuated_as_by_a_box_filter(frames_per_second, above):
    nyquist = 0.5 * frames_per_second
    frequency = above * nyquist
    sampling = 40 * frequency
    timestamps = np.arange(0, 12, 1 / sampling)
    slow = 0.02 * nyquist
    values = np.stack([np.sin(2 * np.pi * f * timestamps + 0.3) for f in (frequency, slow)], axis=1)
    start = 1.0 + np.arange(int(9 * frames_per_second)) / frames_per_second
    session = make_session(
        presentation_table(start, start + 1 / frames_per_second, np.arange(len(start))),
        sampled(timestamps, values),
        [movie(len(start))],
    )
    aligned = align(session, AlignmentConfiguration(lag=0.0))
    assert aligned.valid.all()
    middle = 0.5 * (aligned.time + aligned.stop_time)
    for cell, f in enumerate((frequency, slow)):
        # The transfer of a mean over one frame; linear interpolation adds at most step^2 / 8 of the second derivative.
        transfer = np.sinc(f / frames_per_second)
        allowed = (2 * np.pi * f / sampling) ** 2 / 8 + 1e-5
        expected = transfer * np.sin(2 * np.pi * f * middle + 0.3)
        assert np.abs(aligned.neural[:, cell] - expected).max() < allowed
    # In figures: the slow one is there, nothing above the Nyquist rate keeps its amplitude.
    assert np.sinc(slow / frames_per_second) > 0.999
    assert np.abs(aligned.neural[:, 0]).max() < 1 / (np.pi * frequency / frames_per_second) + 0.01


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_file_is_aligned_with_its_truth_from_end_to_end(tmp_path: Path, transposed, extra):
    random = np.random.default_rng([transposed, extra + 1])
    screen = make_screen(random, 29.97, 4e-5, 0.02, skips=True)
    planes = [make_plane(random, screen, rate, 1e-3, delay, 0.05, 1) for rate, delay in ((10.7, 0.0), (8.6, 0.04))]
    table = table_of(screen, "next")
    path = write_file(tmp_path / "truth.nwb", planes, table, transposed=transposed, extra=extra)

    with read_session(path) as session:
        aligned = align(session, AlignmentConfiguration(lag=0.0))
        assert aligned.neural.shape[1] == 6
        for plane in planes:
            plane.timestamps = plane.timestamps[: len(plane.timestamps) + min(extra, 0)]
        check_pictures(aligned, screen)
        check_activity(aligned, screen, planes, 0.0)

    store = prepare(
        [path],
        tmp_path / "store",
        configuration=ClipsConfiguration(height=6, width=8, neural_type="float32"),
        alignment=AlignmentConfiguration(lag=0.0),
    )
    (stored,) = store.sessions.values()
    assert np.array_equal(stored.neural, aligned.neural)
    # The pixels say which picture they are.
    on_screen = store.stimulus[stored.stimulus_row][:, 0, 0].astype(np.int64)
    assert on_screen.tolist() == screen.picture[screen.picture >= 0].tolist()
    assert stored.report["frames_held"] == screen.held
    assert [plane["cells"] for plane in stored.report["planes"]] == [3, 3]
    assert stored.report["guesses"] or extra == 0


def write_file(path: Path, planes: list[Plane], table: pd.DataFrame, *, transposed: bool, extra: int) -> Path:
    """Two planes side by side, a movie whose pixels are its frame numbers, and a table of what was shown.

    ``extra`` timestamps are there beyond the samples; transposed series are stored as cells x time.
    """
    nwbfile = new_file()
    for number, plane in enumerate(planes):
        rois = add_plane(nwbfile, 3, name=f"plane{number}")
        add_traces(
            nwbfile,
            rois,
            plane.traces.read().astype(np.float64),
            name=f"series{number}",
            timestamps=plane.timestamps,
        )
    add_movie(nwbfile, "movie", pixels_of(200))
    add_table(
        nwbfile,
        "movie_presentations",
        start_time=table["start_time"],
        stop_time=table["stop_time"],
        stimulus_name=["movie"] * len(table),
        frame=table["frame"],
    )
    write(nwbfile, path)
    # What pynwb refuses to build, and files have all the same.
    with h5py.File(path, "r+") as file:
        for number, plane in enumerate(planes):
            series = file[f"processing/ophys/DfOverF/series{number}"]
            times = plane.timestamps
            times = np.r_[times, times[-1] + np.median(np.diff(times))] if extra > 0 else times[: len(times) + extra]
            replace(series, "timestamps", times)
            if transposed:
                replace(series, "data", series["data"][:].T)
    return path


def replace(series: h5py.Group, name: str, values: FloatArray) -> None:
    attributes = dict(series[name].attrs)
    del series[name]
    series.create_dataset(name, data=values).attrs.update(attributes)
