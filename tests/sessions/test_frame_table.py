from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBFile
from pynwb.image import IndexSeries

from nwb_mivae.alignment import AlignmentConfiguration, align
from nwb_mivae.sessions import Session, SessionsConfiguration, describe, read_session
from tests.layouts import visual_behavior
from tests.nwb_files import add_images, add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write
from tests.sessions.test_stimulus import column, opened, said, seconds


def flashes(nwbfile: NWBFile, n_flashes: int = 8, *, pause: float = 0.5, **columns: Any) -> None:
    add_images(nwbfile, "set", pixels_of(4, first=40))
    onset = 5.0 + (0.25 + pause) * np.arange(n_flashes)
    add_table(
        nwbfile,
        "set_presentations",
        **{"start_time": onset, "stop_time": onset + 0.25, "frame": np.arange(n_flashes) % 4, **columns},
    )


def covered(session: Session) -> bool:
    table = session.presentations
    return bool(np.allclose(table["start_time"][1:], table["stop_time"][:-1]))


def test_pauses_between_pictures_are_grey(tmp_path: Path) -> None:
    nwbfile = new_file()
    flashes(nwbfile, stimulus_block=[2] * 8)
    session = opened(nwbfile, tmp_path)
    assert column(session, "blank") == [False, True] * 7 + [False]
    assert covered(session)
    grey = session.presentations[session.presentations["blank"]]
    assert grey["source_row"].tolist() == list(range(7))
    assert set(grey["block"]) == {2}
    assert set(grey["stimulus"]) == set(grey["template"]) == {""}
    assert grey["repeat"].tolist() == [0] * 7
    assert "7 pauses of up to 0.5 s between rows were taken for a grey screen" in said(session, "guess")
    assert session.granularity == {"intervals/set_presentations": "image"}


@pytest.mark.parametrize(
    ("pause", "configured", "rows"), [(0.5, 0.4, 8), (0.5, None, 8), (1.5, 1.5, 15), (1.6, 1.5, 8), (0.01, 1.5, 8)]
)
def test_the_longest_pause_is_a_setting(tmp_path: Path, pause: float, configured: float | None, rows: int) -> None:
    nwbfile = new_file()
    flashes(nwbfile, pause=pause)
    session = opened(nwbfile, tmp_path, configuration=SessionsConfiguration(grey_pause=configured))
    assert len(session.presentations) == rows


def test_no_pause_is_grey_between_blocks_or_while_something_else_is_shown(tmp_path: Path) -> None:
    nwbfile = new_file()
    flashes(nwbfile, 4, stimulus_block=[0, 0, 1, 1])
    add_movie(nwbfile, "film", pixels_of(10))
    between = 5.3 + np.arange(10) / 30  # in the first pause
    add_table(nwbfile, "film_presentations", start_time=between, stop_time=between + 1 / 30, frame=np.arange(10))
    session = opened(nwbfile, tmp_path)
    grey = session.presentations[session.presentations["blank"]]
    assert grey["source_row"].tolist() == [2]


def test_no_pause_is_grey_between_frames_of_a_movie(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(10))
    onset = np.arange(10) / 30
    onset[5:] += 0.4  # a late display held the frame before
    add_table(nwbfile, "film_presentations", start_time=onset, stop_time=onset + 1 / 30, frame=np.arange(10))
    session = opened(nwbfile, tmp_path)
    assert not session.presentations["blank"].any()
    assert session.granularity == {"intervals/film_presentations": "movie frame"}


def test_a_row_that_cannot_be_known_is_no_pause(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "scenes", pixels_of(12))
    shown = np.concatenate([np.tile(np.arange(12), 10), np.zeros(10, dtype=int)])
    onset = 0.25 * np.arange(len(shown))
    nwbfile.add_stimulus(
        IndexSeries(name="shown", data=shown.astype(np.uint32), unit="N/A", indexed_images=images, timestamps=onset)
    )
    session = opened(nwbfile, tmp_path)
    assert not session.presentations["blank"].any()
    assert 0 not in column(session, "frame")


def add_activity(nwbfile: NWBFile, until: float, *, rate: float = 30.0) -> None:
    times = np.arange(0, until, 1 / rate)
    table = add_plane(nwbfile, 3, imaging_rate=rate)
    values = np.stack([np.sin(times + cell) for cell in range(3)], axis=1)
    add_traces(nwbfile, table, values, timestamps=times)


def test_alignment_gives_clips_across_flashes(tmp_path: Path) -> None:
    segments = {}
    for grey_pause in (1.5, None):
        nwbfile = new_file()
        flashes(nwbfile, 20)
        add_activity(nwbfile, 30.0)
        path = write(nwbfile, tmp_path / "a.nwb")
        with read_session(path, configuration=SessionsConfiguration(grey_pause=grey_pause)) as session:
            aligned = align(session, AlignmentConfiguration(lag=0.0))
        segments[grey_pause] = np.bincount(aligned.segment)
    assert len(segments[1.5]) == 1
    assert segments[1.5][0] == pytest.approx(30 * (20 * 0.25 + 19 * 0.5), rel=0.1)
    assert len(segments[None]) == 20


def test_alignment_gives_clips_across_drifting_gratings(tmp_path: Path) -> None:
    nwbfile = new_file()
    onset = 2.0 + 3.0 * np.arange(6)
    add_table(
        nwbfile,
        "drifting_gratings",
        in_stimulus=True,
        start_time=onset,
        stop_time=onset + 2.0,
        orientation_in_degrees=[0.0, 45.0, np.nan, 0.0, 45.0, 90.0],
        spatial_frequency_in_cycles_per_degree=[0.04] * 6,
        temporal_frequency_in_hz=[1.0, 2.0, np.nan, 1.0, 2.0, 4.0],
        is_blank_sweep=[False, False, True, False, False, False],
    )
    add_activity(nwbfile, 25.0)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert covered(session)
        aligned = align(session, AlignmentConfiguration(lag=0.0))
        assert aligned.segment.max() == 0
        assert len(aligned.frame) == pytest.approx(30 * 17, abs=3)


def test_flashes_of_visual_behavior_with_an_index_beside_the_table(tmp_path: Path) -> None:
    truth = visual_behavior.write(tmp_path, omitted_without_stop=True)
    with read_session(truth.files[0]) as session:
        images = session.presentations[session.presentations["source_path"].str.contains("Natural_Images")]
        assert images["source_path"].nunique() == 1
        assert np.allclose(images["start_time"][1:], images["stop_time"][:-1])
        assert images["omitted"].sum() == sum(row.omitted for row in truth.presentations)
        told = describe(session)["stimuli"]
    first = told[0]
    assert (first["granularity"], first["stimulus"], first["omitted_rows"], first["rendered"]) == (
        "image",
        ["Natural_Images_Lum_Matched_set_training_2017"],
        sum(row.omitted for row in truth.presentations),
        0,
    )


def test_every_source_says_what_a_row_is(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(6))
    add_images(nwbfile, "scenes", pixels_of(3))
    start, stop = seconds(6, 1 / 30)
    add_table(nwbfile, "film_presentations", start_time=start, stop_time=stop, frame=np.arange(6))
    start, stop = seconds(12, 1 / 60, 10.0)
    add_table(
        nwbfile, "film_again", start_time=start, stop_time=stop, stimulus_name=["film"] * 12, frame=np.arange(12) // 2
    )
    start, stop = seconds(3, 0.25, 20.0)
    add_table(nwbfile, "scenes_presentations", start_time=start, stop_time=stop, frame=np.arange(3))
    add_table(nwbfile, "movies", start_time=[30.0], stop_time=[31.0], movie_name=["film"])
    add_table(nwbfile, "grating_presentations", start_time=[40.0], stop_time=[41.0], orientation=[45.0])
    add_table(nwbfile, "spontaneous_presentations", start_time=[50.0], stop_time=[60.0])
    session = opened(nwbfile, tmp_path)
    expected = {
        "film_presentations": "movie frame",
        "film_again": "display frame",
        "scenes_presentations": "image",
        "movies": "whole movie",
        "grating_presentations": "parameters",
        "spontaneous_presentations": "none",
    }
    assert session.granularity == {f"intervals/{name}": kind for name, kind in expected.items()}
    for name in expected:
        path = f"intervals/{name}"
        assert sum("a row is" in item.message for item in session.findings if item.object_path == path) == 1
    assert [each["granularity"] for each in describe(session)["stimuli"]] == list(expected.values())


def test_display_frames_of_one_grating_become_one_row(tmp_path: Path) -> None:
    """001768: a row per refresh, with the name of the stimulus and its parameters and no frames."""
    nwbfile = new_file()
    start, stop = seconds(60, 1 / 60)
    add_table(
        nwbfile,
        "oddball_presentations",
        start_time=start,
        stop_time=stop,
        stim_name=["standard"] * 30 + ["deviant"] * 30,
        stim_block=[1] * 60,
        orientation=np.repeat([0.0, 45.0, 45.0, 90.0], 15),
        spatial_frequency=["0.04"] * 60,
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "stimulus") == ["standard", "standard", "deviant", "deviant"]
    assert column(session, "source_row") == [0, 15, 30, 45]
    np.testing.assert_allclose(column(session, "stop_time"), [0.25, 0.5, 0.75, 1.0])
    assert session.granularity == {"intervals/oddball_presentations": "display frame"}


def test_repeats_of_what_cannot_be_drawn_are_told_apart_by_parameters(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(4, 1.0)
    orientations = [0.0, 90.0, 0.0, 90.0]
    add_table(nwbfile, "bars_presentations", start_time=start, stop_time=stop, orientation=orientations)
    session = opened(nwbfile, tmp_path)
    assert column(session, "repeat") == [0, 0, 1, 1]
    assert column(session, "frame") == [0] * 4


def test_a_last_frame_of_an_instant_is_not_made(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(30), rate=10.0)
    add_table(nwbfile, "shown", start_time=[0.0, 5.0], stop_time=[2.0016, 7.04], stimulus_name=["film"] * 2)
    table = opened(nwbfile, tmp_path).presentations
    assert table["frame"].tolist() == [*range(20)] * 2
    assert table["stop_time"].tolist()[19::20] == [pytest.approx(2.0016), pytest.approx(7.04)]


def test_what_is_left_out_names_no_missing_pixels(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "set_A", pixels_of(3))
    onset = np.arange(3.0)
    nwbfile.add_stimulus(
        IndexSeries(
            name="set_A", data=np.arange(3, dtype=np.uint32), unit="N/A", indexed_images=images, timestamps=onset
        )
    )
    add_table(nwbfile, "trials", start_time=onset, stop_time=onset + 0.9, template_name=["x", "y", "z"])
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["set_A"] * 3
    assert session.missing_templates == {}


def test_a_movie_too_long_for_its_row_is_not_squeezed_into_it(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(200), rate=np.nan)
    add_table(nwbfile, "shown", start_time=[0.0, 5.0], stop_time=[1.0, 9.0], stimulus_name=["film"] * 2)
    session = opened(nwbfile, tmp_path)
    assert column(session, "source_row") == [1] * 200
    assert "1 rows are shorter than the movie they name could be shown in" in said(session, "warning")


def test_a_row_without_an_end_lasts_as_long_as_the_others_of_its_stimulus(tmp_path: Path) -> None:
    nwbfile = new_file()
    onset = 5.0 + 0.75 * np.arange(8)
    stop = onset + 0.25
    stop[[2, 7]] = np.nan
    flashes(nwbfile, stop_time=stop, omitted=np.arange(8) == 2)
    session = opened(nwbfile, tmp_path)
    table = session.presentations
    told = table[table["stimulus"] != ""]
    np.testing.assert_allclose(told["stop_time"] - told["start_time"], 0.25)
    assert told["omitted"].tolist() == [False, False, True] + [False] * 5
    assert covered(session)
    guesses = said(session, "guess")
    assert "2 rows without a stop time" in guesses
    assert "as the others of their stimulus usually do (up to 0.25 s)" in guesses


def test_the_next_row_ends_one_without_an_end(tmp_path: Path) -> None:
    nwbfile = new_file()
    flashes(nwbfile, 4, start_time=[0.0, 1.0, 2.0, 2.1], stop_time=[0.25, 1.25, np.nan, 2.35])
    assert column(opened(nwbfile, tmp_path), "stop_time")[-2:] == [2.1, 2.35]


def test_the_end_of_another_stimulus_says_nothing(tmp_path: Path) -> None:
    nwbfile = new_file()
    names = ["set", "set", "other", "other"]
    flashes(nwbfile, 4, stop_time=[5.25, 6.0, np.nan, np.nan], stimulus_name=names)
    session = opened(nwbfile, tmp_path)
    assert column(session, "stop_time")[-1] == pytest.approx(5.0 + 4 * 0.75)
    assert "2 rows without a stop time; they were taken to last until the next" in said(session, "guess")


def test_rows_stored_twice_are_no_repeats(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(10))
    start = np.repeat(np.arange(10) / 30, 2)
    add_table(
        nwbfile, "film_presentations", start_time=start, stop_time=start + 1 / 30, frame=np.repeat(np.arange(10), 2)
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == list(range(10))
    assert column(session, "repeat") == [0] * 10
    assert "10 rows tell the same as the row before them" in said(session, "warning")


def test_frames_counted_from_one_are_recognised(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(10))
    start = np.arange(10) / 30
    add_table(nwbfile, "film_presentations", start_time=start, stop_time=start + 1 / 30, frame=np.arange(1, 11))
    session = opened(nwbfile, tmp_path)
    assert "film" not in session.templates
    assert "its frames seem to be counted from 1" in said(session, "warning")


def test_a_damaged_table_costs_only_itself(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(10))
    start = np.arange(10) / 30
    for name in ("film_presentations", "other_presentations"):
        add_table(nwbfile, name, start_time=start, stop_time=start + 1 / 30, frame=np.arange(10))
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        table = file["intervals/other_presentations"]
        attributes = dict(table["start_time"].attrs)
        del table["start_time"]
        table.create_dataset("start_time", data=["soon"] * 10).attrs.update(attributes)
    with read_session(path) as session:
        assert column(session, "frame") == list(range(10))
        (damaged,) = [item for item in session.findings if item.object_path == "intervals/other_presentations"]
        assert (damaged.level, "cannot be read" in damaged.message) == ("warning", True)
