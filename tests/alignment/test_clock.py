from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwb_mivae.alignment import AlignmentConfiguration, shown_in_sequence
from nwb_mivae.alignment.clock import stimulus_clock, usual_step
from tests.alignment.sessions import presentation_table

CONFIGURATION = AlignmentConfiguration()


def clock_of(table: pd.DataFrame, frames: int = 1000, rate: float = 30.0, configuration=CONFIGURATION):
    return stimulus_clock(table, {"movie": frames}, rate, configuration)


def regular(count: int, rate: float = 30.0, begin: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    start = begin + np.arange(count) / rate
    return start, start + 1 / rate


def test_regular_movie_is_one_segment_with_common_borders():
    start, stop = regular(100)
    clock = clock_of(presentation_table(start, stop, np.arange(100)))
    assert clock.segment.max() == 0
    assert np.array_equal(clock.stop_time[:-1], clock.time[1:])
    assert clock.frame.tolist() == list(range(100))
    assert clock.presentation.tolist() == list(range(100))
    assert clock.frame_rate == pytest.approx(30.0)
    assert (clock.frames_dropped, clock.frames_repeated, clock.frames_held, clock.on_clock) == (0, 0, 0, 0)
    assert clock.jitter_maximum < 1e-9


def test_small_jitter_does_not_break_a_segment_and_is_reported():
    start, _ = regular(200)
    start = start + np.random.default_rng(0).uniform(-0.003, 0.003, 200)
    clock = clock_of(presentation_table(start, start + 1 / 30, np.arange(200)))
    assert clock.segment.max() == 0
    assert np.array_equal(clock.stop_time[:-1], clock.time[1:])
    assert 0.001 < clock.jitter_rms < clock.jitter_maximum <= 0.0061


@pytest.mark.parametrize("stop_follows", [True, False])
@pytest.mark.parametrize("numbers_go_on", [True, False])
@pytest.mark.parametrize("lost", [1, 4])
def test_a_picture_that_stood_longer_is_laid_on_the_clock(stop_follows, numbers_go_on, lost):
    start, _ = regular(60)
    start[31:] += lost / 30
    stop = np.r_[start[1:], start[-1] + 1 / 30] if stop_follows else start + 1 / 30
    frame = np.arange(60)
    if numbers_go_on:
        frame[31:] += lost
    clock = clock_of(presentation_table(start, stop, frame))
    assert clock.segment.max() == 0
    assert clock.frames_held == lost
    assert clock.frames_dropped == lost * numbers_go_on
    assert len(clock.time) == 60 + lost
    assert clock.frame[30 : 31 + lost].tolist() == [30] * (1 + lost)
    assert clock.presentation[30 : 31 + lost].tolist() == [30] * (1 + lost)
    assert np.diff(clock.time) == pytest.approx(1 / 30)
    assert clock.stop_time[30 + lost] == pytest.approx(start[31])


@pytest.mark.parametrize(
    ("pause", "number", "block"),
    [
        (2.5, 31, "0"),  # far too long for a frame that came late
        (0.4, 31, "0"),
        (0.1, 40, "0"),  # the number went on by more than the time: another clip of the same movie
        (0.1, 31, "1"),  # another block
        (0.1, 0, "0"),  # from the beginning again
    ],
)
def test_a_real_pause_begins_a_segment(pause, number, block):
    start, stop = regular(60)
    start[31:] += pause
    stop[31:] += pause
    table = presentation_table(start, stop, np.r_[np.arange(31), number + np.arange(29)])
    table.loc[31:, "block"] = block
    clock = clock_of(table)
    assert np.flatnonzero(np.diff(clock.segment)).tolist() == [30]
    assert len(clock.time) == 60
    assert clock.frames_held == 0


def test_pauses_after_every_frame_are_no_held_pictures():
    start = 10.0 + np.arange(40) / 10
    clock = clock_of(presentation_table(start, start + 1 / 30, np.arange(40)))
    assert len(clock.time) == 40
    assert clock.segment.tolist() == list(range(40))


def test_a_first_frame_that_stands_before_its_movie_begins_is_on_the_clock_of_the_movie():
    start, stop = regular(60)
    start[0] -= 2.0
    clock = clock_of(presentation_table(start, stop, np.arange(60)))
    assert clock.segment.max() == 0
    assert clock.frame[:61].tolist() == [0] * 61
    assert clock.frames_held == 60
    assert clock.on_clock == 0


def test_skipped_frame_numbers_are_counted_and_do_not_break_the_segment():
    start, stop = regular(50)
    frame = np.arange(50)
    frame[20:] += 3
    clock = clock_of(presentation_table(start, stop, frame))
    assert clock.frames_dropped == 3
    assert clock.frames_held == 0
    assert clock.frame.tolist() == frame.tolist()
    assert clock.segment.max() == 0


def test_every_second_frame_of_a_movie_is_in_sequence_and_drops_none():
    start, stop = regular(50)
    frame = 2 * np.arange(50)
    assert usual_step(frame) == 2
    assert shown_in_sequence(frame)
    assert clock_of(presentation_table(start, stop, frame)).frames_dropped == 0
    frame[20:] += 4
    start[20:] += 2 / 30
    clock = clock_of(presentation_table(start, start + 1 / 30, frame))
    assert (clock.frames_dropped, clock.frames_held, clock.segment.max()) == (2, 2, 0)


@pytest.mark.parametrize("frames_per_second", [24, 25])
def test_films_whose_frames_take_two_and_three_refreshes_are_one_segment(frames_per_second):
    refresh = np.ceil(np.arange(101) * 60 / frames_per_second - 1e-9) / 60
    random = np.random.default_rng(0)
    times = 5.0 + refresh + random.uniform(-2e-4, 2e-4, 101)
    clock = clock_of(presentation_table(times[:-1], times[1:], np.arange(100)))
    assert (clock.segment.max(), clock.frames_held, len(clock.time)) == (0, 0, 100)


def test_repeated_frame_numbers_are_counted_and_do_not_break_the_segment():
    start, stop = regular(50)
    frame = np.arange(50)
    frame[20:] -= 1
    clock = clock_of(presentation_table(start, stop, frame))
    assert clock.frames_repeated == 1
    assert clock.segment.max() == 0


def test_a_second_showing_is_neither_dropped_nor_repeated_frames():
    start, stop = regular(60)
    clock = clock_of(presentation_table(start, stop, np.r_[np.arange(30), np.arange(30)]))
    assert (clock.frames_dropped, clock.frames_repeated) == (0, 0)
    assert clock.segment.max() == 0


def test_images_in_random_order_drop_no_frames():
    start, stop = regular(50, rate=10)
    frame = np.random.default_rng(1).permutation(50)
    assert not shown_in_sequence(frame)
    clock = clock_of(presentation_table(start, stop, frame))
    assert (clock.frames_dropped, clock.segment.max()) == (0, 0)


def test_standing_images_are_laid_on_the_clock():
    start, stop = regular(10, rate=4)
    clock = clock_of(presentation_table(start, stop, np.arange(10)[::-1]))
    assert clock.on_clock == 10
    assert len(clock.time) == 80
    assert clock.segment.max() == 0
    assert clock.frame[:8].tolist() == [9] * 8
    assert clock.presentation[8] == 1
    assert np.diff(clock.time) == pytest.approx(0.25 / 8)
    assert clock.stop_time[-1] == stop[-1]


def test_grey_between_images_ends_the_segment():
    start = np.arange(5) * 0.75
    clock = clock_of(presentation_table(start, start + 0.25, np.zeros(5)))
    assert np.unique(clock.segment).size == 5
    # A pause that is short against the presentation but not against a frame is a pause as well.
    start = np.arange(3) * 11.0
    clock = clock_of(presentation_table(start, start + 8.0, np.zeros(3)))
    assert np.unique(clock.segment).size == 3
    assert (clock.stop_time - clock.time).max() < 0.05


def test_frames_of_another_duration_begin_a_segment():
    start, stop = regular(20)
    later = stop[-1] + np.arange(20) / 10
    table = presentation_table(
        np.r_[start, later],
        np.r_[stop, later + 0.1],
        np.r_[np.arange(20), np.arange(20)],
        ["movie"] * 20 + ["slow"] * 20,
    )
    clock = stimulus_clock(table, {"movie": 20, "slow": 20}, 30.0, CONFIGURATION)
    assert np.flatnonzero(np.diff(clock.segment)).tolist() == [19]


def test_missing_stop_times_come_from_the_next_start():
    start, _ = regular(40)
    start[20:] += 5.0
    clock = clock_of(presentation_table(start, np.full(40, np.nan), np.arange(40)))
    assert len(clock.time) == 40
    assert clock.stop_time[19] - clock.time[19] == pytest.approx(1 / 30)
    assert np.unique(clock.segment).size == 2


def test_a_lone_presentation_without_stop_time_has_no_duration():
    clock = clock_of(presentation_table([1.0], [np.nan], [0]))
    assert clock.excluded == {"no duration": 1}


def test_what_cannot_be_used_is_left_out_by_reason():
    start, stop = regular(8, rate=10)
    start[1] = np.nan
    stop[2] = start[2]
    start[4] = start[3]
    frame = np.arange(8)
    frame[5] = 999
    frame[6] = -1
    template = ["movie"] * 8
    template[7] = "absent"
    clock = stimulus_clock(presentation_table(start, stop, frame, template), {"movie": 8}, 30.0, CONFIGURATION)
    assert clock.excluded == {
        "template without pixels": 1,
        "start time unknown": 1,
        "frame beyond the template's end": 1,
        "no duration": 1,
        "begins together with the next": 1,
    }
    assert clock.presentation.tolist() == [0, 4, 6]
    assert clock.template.tolist() == [0, 0, -1]
    assert clock.frame.tolist() == [0, 4, -1]


def test_overlapping_presentations_end_where_the_next_begins():
    start, stop = regular(20)
    clock = clock_of(presentation_table(start, stop + 0.01, np.arange(20)))
    assert np.all(clock.stop_time[:-1] == clock.time[1:])


def test_an_empty_table_gives_no_frames():
    clock = clock_of(presentation_table([], [], []))
    assert len(clock.time) == 0
    assert clock.segment.dtype == np.int32
