from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynwb import NWBFile
from pynwb.image import ImageSeries, IndexSeries, OpticalSeries

from nwb_mivae.sessions import PRESENTATION_COLUMNS, Session, read_session
from tests.nwb_files import add_images, add_movie, add_table, new_file, pixels_of, write
from tests.sessions.test_movies import film


def opened(nwbfile: NWBFile, tmp_path: Path, **more: Any) -> Session:
    with read_session(write(nwbfile, tmp_path / "a.nwb"), **more) as session:
        return session


def said(session: Session, level: str | None = None) -> str:
    return " | ".join(finding.message for finding in session.findings if level in (None, finding.level))


def column(session: Session, name: str) -> list[Any]:
    assert list(session.presentations.columns) == list(PRESENTATION_COLUMNS)
    return session.presentations[name].tolist()


def seconds(n_rows: int, step: float, start: float = 0.0) -> tuple[list[float], list[float]]:
    onset = start + step * np.arange(n_rows)
    return onset.tolist(), (onset + step).tolist()


def test_a_row_per_movie_frame(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "natural_movie_one", pixels_of(10))
    start, stop = seconds(20, 1 / 30, 5.0)
    add_table(
        nwbfile,
        "natural_movie_one_presentations",
        start_time=start,
        stop_time=stop,
        frame=np.tile(np.arange(10.0), 2),
        stimulus_name=["natural_movie_one"] * 20,
        stimulus_block=np.repeat([3.0, 4.0], 10),
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [*range(10)] * 2
    assert column(session, "repeat") == [0] * 10 + [1] * 10
    assert column(session, "block") == [3] * 10 + [4] * 10
    assert column(session, "template") == ["natural_movie_one"] * 20
    assert column(session, "source_row") == list(range(20))
    assert set(column(session, "source_path")) == {"intervals/natural_movie_one_presentations"}
    np.testing.assert_allclose(column(session, "start_time"), start)
    assert session.missing_templates == {}


@pytest.mark.parametrize("template", ["scenes", "scenes_template", "scenes_stimulus"])
def test_templates_are_joined_by_name_whatever_the_suffix(tmp_path: Path, template: str) -> None:
    nwbfile = new_file()
    add_images(nwbfile, template, pixels_of(3))
    start, stop = seconds(3, 0.25)
    add_table(nwbfile, "scenes_presentations", start_time=start, stop_time=stop, frame=[2, 0, -1])
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == [template, template, ""]
    assert column(session, "frame") == [2, 0, -1]


def test_all_the_ways_of_saying_grey(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "scenes", pixels_of(3))
    rows: dict[str, list[Any]] = {
        "frame": [0.0, -1.0, 4294967295.0, np.nan, 1.0, 1.0, 2.0],
        "omitted": [0.0, 0.0, 0.0, 0.0, 1.0, np.nan, 0.0],
        "stimulus_name": ["scenes", "scenes", "scenes", "scenes", "scenes", "scenes", "spontaneous"],
    }
    start, stop = seconds(7, 0.25)
    add_table(nwbfile, "flashes", start_time=start, stop_time=stop, **rows)
    add_table(nwbfile, "spontaneous_presentations", start_time=[10.0], stop_time=[70.0])
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, -1, -1, -1, -1, 1, -1, -1]
    assert [name == "" for name in column(session, "template")] == [f == -1 for f in column(session, "frame")]
    assert column(session, "repeat") == [0] * 8


def test_frames_and_blanks_written_as_text(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "scenes", pixels_of(3))
    start, stop = seconds(3, 0.25)
    add_table(
        nwbfile,
        "scenes_presentations",
        start_time=start,
        stop_time=stop,
        frame=["2", "N/A", "1"],
        is_blank_sweep=["false", "false", "True"],
    )
    assert column(opened(nwbfile, tmp_path), "frame") == [2, -1, -1]


def test_tables_in_the_stimulus_group_count_too(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(4, 2.0)
    add_table(
        nwbfile,
        "drifting_gratings",
        in_stimulus=True,
        start_time=start,
        stop_time=stop,
        stimulus_name=["drifting_gratings"] * 4,
        orientation_in_degrees=[0.0, 90.0, 0.0, np.nan],
        is_blank_sweep=[False, False, False, True],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, 0, 0, -1]
    assert "described by parameters (orientation)" in session.missing_templates["drifting_gratings"]


def test_tables_that_tell_of_no_stimulus_are_left_out_and_said(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "trials", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], correct=[True, False])
    add_table(nwbfile, "epochs", start_time=[0.0], stop_time=[9.0], stimulus_name=["all"])
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert list(session.presentations.columns) == list(PRESENTATION_COLUMNS)
    assert said(session).count("name no stimulus") == 2


def test_a_table_named_after_its_stimulus_without_any_column(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "gabors_presentations", start_time=[0.0, 1.0], stop_time=[1.0, 2.0], x_position=[0.0, 5.0])
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["gabors_presentations"] * 2
    assert "rows with parameters and no frames" in said(session)


def test_display_frames_of_one_movie_frame_become_one_row(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(5))
    start, stop = seconds(10, 1 / 60)
    frames = np.repeat(np.arange(5), 2)
    add_table(nwbfile, "film_presentations", start_time=start, stop_time=stop, movie_frame_index=frames)
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, 1, 2, 3, 4]
    assert column(session, "source_row") == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(session.presentations["stop_time"], np.arange(1, 6) / 30)
    assert "equal ones were joined" in said(session)


def test_a_picture_shown_twice_in_a_row_stays_two_rows(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(4, 0.25)
    add_table(nwbfile, "scenes_presentations", start_time=start, stop_time=stop, frame=[1, 1, 2, 2])
    assert column(opened(nwbfile, tmp_path), "repeat") == [0, 1, 0, 1]


def test_pictures_called_by_name(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "Natural_Images", pixels_of(4), prefix="im")
    start, stop = seconds(4, 0.25)
    add_table(
        nwbfile,
        "Natural_Images_presentations",
        start_time=start,
        stop_time=stop,
        image_name=["im3", "omitted", "im0", "im3"],
        image_index=[9.0, 9.0, 9.0, 9.0],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [3, -1, 0, 3]
    assert column(session, "repeat") == [0, 0, 0, 1]


def test_pictures_of_a_movie_called_by_its_control_descriptions(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "set", pixels_of(3), control=[0, 1, 2], control_description=["im061", "im062", "im063"])
    start, stop = seconds(2, 0.25)
    add_table(nwbfile, "images_presentations", start_time=start, stop_time=stop, image_name=["im063", "im061"])
    session = opened(nwbfile, tmp_path)
    assert (column(session, "template"), column(session, "frame")) == (["set", "set"], [2, 0])


def test_pictures_whose_pixels_are_nowhere_keep_their_identity(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(4, 0.25)
    images = ["b", "a", "b", "c.png"]
    add_table(nwbfile, "flashes_presentations", start_time=start, stop_time=stop, image_name=images)
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["flashes_presentations"] * 3 + ["c.png"]
    assert column(session, "frame") == [1, 0, 1, 0]
    assert set(session.missing_templates) == {"flashes_presentations", "c.png"}


def test_whole_movies_become_frames_where_they_can_be_read(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 24, rate=12)
    nwbfile = new_file()
    add_table(
        nwbfile,
        "clips",
        start_time=[1.0, 5.0, 9.0],
        stop_time=[3.5, 6.0, 11.0],
        Clip_name=["a.mp4", "a.mp4", "gone.mp4"],
    )
    session = opened(nwbfile, tmp_path, stimulus_folder=tmp_path)
    assert column(session, "frame") == [*range(24), *range(12), 0]
    assert column(session, "source_row") == [0] * 24 + [1] * 12 + [2]
    assert column(session, "repeat") == [0] * 24 + [1] * 12 + [0]
    np.testing.assert_allclose(session.presentations["start_time"][:24], 1 + np.arange(24) / 12, atol=1e-6)
    assert session.presentations["stop_time"][23] == pytest.approx(3.0)
    assert session.presentations["stop_time"][35] == pytest.approx(6.0)
    assert (column(session, "start_time")[-1], column(session, "stop_time")[-1]) == (9.0, 11.0)
    assert list(session.missing_templates) == ["gone.mp4"]
    assert "1 rows end before their movie, 1 after it" in said(session, "guess")


@pytest.mark.parametrize("rate", [10.0, np.nan])
def test_whole_movies_inside_the_file(tmp_path: Path, rate: float) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(20), rate=rate)
    add_table(nwbfile, "shown", start_time=[3.0], stop_time=[5.0], stimulus_name=["film"])
    session = opened(nwbfile, tmp_path)
    np.testing.assert_allclose(column(session, "start_time"), 3 + np.arange(20) / 10)
    assert ("spread evenly" in said(session)) == bool(np.isnan(rate))


def index_series(nwbfile: NWBFile, images: Any, data: Any, **timing: Any) -> None:
    nwbfile.add_stimulus(
        IndexSeries(name="shown", data=np.asarray(data, dtype=np.uint32), unit="N/A", indexed_images=images, **timing)
    )


def test_an_index_of_pictures(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "scenes_template", pixels_of(12))
    index_series(nwbfile, images, [11, 2, 4294967295, 2], timestamps=[0.0, 0.25, 0.5, 5.0])
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [11, 2, -1, 2]
    assert column(session, "template") == ["scenes_template", "scenes_template", "", "scenes_template"]
    np.testing.assert_allclose(column(session, "stop_time"), [0.25, 0.5, 0.75, 5.25])
    assert set(column(session, "source_path")) == {"stimulus/presentation/shown"}


def test_the_old_index_of_a_time_series(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(6))
    images = add_images(nwbfile, "set", pixels_of(2))
    index_series(nwbfile, images, [0, 1, 2, 5], timestamps=np.arange(4) / 30)
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        group = file["stimulus/presentation/shown"]
        del group["indexed_images"]
        group["indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/film")
    with read_session(path) as session:
        assert column(session, "frame") == [0, 1, 2, 5]
        assert column(session, "template") == ["film"] * 4


def test_blanks_that_became_picture_0_are_left_out(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "scenes", pixels_of(12))
    shown = np.concatenate([np.tile(np.arange(12), 10), np.zeros(10, dtype=int)])
    index_series(nwbfile, images, shown, timestamps=np.arange(len(shown)) * 0.25)
    session = opened(nwbfile, tmp_path)
    assert 0 not in column(session, "frame")
    assert "blanks were probably stored as 0" in said(session, "guess")


def test_series_without_usable_times_are_templates_only(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "set", pixels_of(2))
    index_series(nwbfile, images, [0, 1], rate=np.nan, starting_time=0.0)
    nwbfile.add_stimulus(
        ImageSeries(name="film", data=pixels_of(3), unit="n.a.", format="raw", rate=np.nan, starting_time=np.nan)
    )
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert set(session.templates) == {"set", "film"}
    assert said(session).count("template only") == 2


def test_a_movie_with_its_own_times_is_a_presentation(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_stimulus(
        OpticalSeries(
            name="film",
            data=pixels_of(5),
            unit="n.a.",
            format="raw",
            distance=0.1,
            field_of_view=[1.0, 1.0],
            orientation="upper left",
            rate=10.0,
            starting_time=2.0,
        )
    )
    nwbfile.add_acquisition(
        ImageSeries(name="stimulus_monitor", data=pixels_of(4), unit="n.a.", timestamps=[5.0, 5.1, 5.2, 5.3])
    )
    nwbfile.add_acquisition(ImageSeries(name="camera", data=pixels_of(4), unit="n.a.", rate=1.0))
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["film"] * 5 + ["stimulus_monitor"] * 4
    assert "camera" not in session.templates


def external(nwbfile: NWBFile, files: list[str], **more: Any) -> None:
    frames = more.pop("starting_frame", list(range(len(files))))
    more = {"num_samples": 99} | more if "rate" in more else more
    nwbfile.add_stimulus(
        ImageSeries(name="clips", external_file=files, format="external", unit="n.a.", starting_frame=frames, **more)
    )


def test_external_files_with_one_onset_each(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 12, rate=12)
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "gone.mp4", "a.mp4"], timestamps=[0.0, 2.0, 4.0])
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [*range(12), 0, *range(12)]
    assert column(session, "template") == ["a.mp4"] * 12 + ["gone.mp4"] + ["a.mp4"] * 12
    assert "one onset per file" in said(session, "guess")


def test_external_files_with_times_for_every_frame(tmp_path: Path) -> None:
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "b.mp4"], starting_frame=[0, 3], timestamps=np.arange(7) / 10)
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["a.mp4"] * 3 + ["b.mp4"] * 4
    assert column(session, "frame") == [0, 1, 2, 0, 1, 2, 3]


def test_external_files_that_follow_each_other(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 12, rate=12)
    film(tmp_path / "b.mp4", 6, rate=12)
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "b.mp4"], starting_frame=[0, 12], rate=12.0, starting_time=3.0)
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [*range(12), *range(6)]
    np.testing.assert_allclose(column(session, "start_time"), 3 + np.arange(18) / 12, atol=1e-6)


def test_external_files_without_times_are_templates_only(tmp_path: Path) -> None:
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "b.mp4"], rate=np.nan, starting_time=np.nan)
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert "without times" in said(session, "info")


@pytest.mark.parametrize("timing", [{"rate": 30.0, "starting_time": 0.0}, {"timestamps": np.arange(7.0)}])
def test_external_files_whose_first_frames_are_not_known(tmp_path: Path, timing: dict[str, Any]) -> None:
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "b.mp4"], starting_frame=[0, 0], **timing)
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert "without their first frames" in said(session, "warning")


def test_of_two_tellings_the_table_is_kept(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 12, rate=12)
    nwbfile = new_file()
    external(nwbfile, ["a.mp4", "a.mp4"], timestamps=[0.0, 4.0])
    add_table(nwbfile, "clips", start_time=[0.0, 4.0], stop_time=[0.8, 5.1], Clip_name=["a.mp4", "a.mp4"])
    session = opened(nwbfile, tmp_path)
    assert set(column(session, "source_path")) == {"intervals/clips"}
    assert "2 of 2" not in said(session)
    assert "that intervals/clips tells better" in said(session)


def test_of_two_tellings_the_one_with_pixels_is_kept(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_acquisition(
        ImageSeries(name="stimulus video", data=pixels_of(20), unit="n.a.", timestamps=np.arange(20) / 10)
    )
    add_table(nwbfile, "Clip", start_time=[0.5, 5.0], stop_time=[1.5, 6.0], movie_name=["x", "y"])
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["stimulus video"] * 20 + ["y"]


def test_a_frame_beyond_its_template_takes_the_pixels_away(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(3))
    start, stop = seconds(3, 0.1)
    add_table(nwbfile, "film_presentations", start_time=start, stop_time=stop, frame=[1, 2, 3])
    session = opened(nwbfile, tmp_path)
    assert session.templates == {}
    assert "frame 3 of 3" in session.missing_templates["film"]


def test_rows_without_start_or_stop(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(
        nwbfile,
        "scenes_presentations",
        start_time=[3.0, 0.0, np.nan, 1.0, 2.0],
        stop_time=[np.nan] * 5,
        frame=[3, 0, 9, 1, 2],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, 1, 2, 3]
    assert column(session, "stop_time") == [1.0, 2.0, 3.0, 4.0]
    assert column(session, "source_row") == [1, 3, 4, 0]
    assert "without a start time" in said(session)
    assert "without a stop time" in said(session)


def test_a_single_onset_lasts_as_long_as_its_movie_or_is_left_out(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 12, rate=12)
    for name, rows in (("a.mp4", 12), ("gone.mp4", 0)):
        nwbfile = new_file()
        external(nwbfile, [name], timestamps=[3.0])
        session = opened(nwbfile, tmp_path)
        assert len(session.presentations) == rows
        assert ("unknown one, left out" in said(session, "warning")) == (rows == 0)
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(5), rate=np.nan)
    add_table(nwbfile, "shown", start_time=[3.0], stop_time=[np.nan], stimulus_name=["film"])
    assert opened(nwbfile, tmp_path).presentations.empty


@pytest.mark.parametrize("data", [[0], []])
def test_an_index_of_next_to_nothing(tmp_path: Path, data: list[int]) -> None:
    nwbfile = new_file()
    index_series(nwbfile, add_images(nwbfile, "set", pixels_of(2)), data, timestamps=np.arange(len(data), dtype=float))
    assert opened(nwbfile, tmp_path).presentations.empty


def test_references_beyond_their_series_are_said_and_not_followed(tmp_path: Path) -> None:
    from pynwb import TimeSeries

    nwbfile = new_file()
    series = TimeSeries(name="clock", data=np.arange(10.0), unit="s", rate=1.0)
    nwbfile.add_acquisition(series)
    for number in range(3):
        nwbfile.add_trial(start_time=float(number), stop_time=number + 1.0, timeseries=[series])
    nwbfile.add_trial_column(name="frame", description="frame", data=[0, 1, 2])
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path) as session:
        assert "refers to samples" not in said(session)
    with h5py.File(path, "r+") as file:
        stored = file["intervals/trials/timeseries"]
        cell = stored[1]
        cell["idx_start"] = 22000
        stored[1] = cell
    with read_session(path) as session:
        assert len(session.presentations) == 3
        assert "refers to samples up to" in said(session, "warning")


def test_ten_thousand_rows_are_read_in_well_under_a_second(tmp_path: Path) -> None:
    nwbfile = new_file()
    names = np.repeat([f"film_{number}" for number in range(36)], 300)
    for name in dict.fromkeys(names):
        add_movie(nwbfile, name, np.zeros((300, 2, 2), np.uint8))
    start, stop = seconds(10800, 1 / 30)
    add_table(
        nwbfile,
        "movies_presentations",
        start_time=start,
        stop_time=stop,
        stimulus_name=names.tolist(),
        movie_frame_index=np.tile(np.arange(300), 36),
    )
    from nwb_mivae.sessions.nwb import open_nwb
    from nwb_mivae.sessions.stimulus import read_presentations
    from nwb_mivae.sessions.templates import TemplateCatalogue

    file = open_nwb(write(nwbfile, tmp_path / "a.nwb"))
    catalogue = TemplateCatalogue.of(file, None)
    before = time.process_time()
    table, _ = read_presentations(file, catalogue)
    spent = time.process_time() - before
    file.close()
    assert len(table) == 10800
    assert spent < 1.0


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(st.integers(-1, 4), min_size=1, max_size=30),
    step=st.sampled_from([0.02, 1 / 30, 0.25]),
    shuffled=st.randoms(use_true_random=False),
)
def test_any_table_reduces_to_ordered_rows_that_cover_the_same_showings(
    tmp_path: Path, frames: list[int], step: float, shuffled: Any
) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "scenes", pixels_of(5))
    start, stop = seconds(len(frames), step, 1.0)
    order = list(range(len(frames)))
    shuffled.shuffle(order)
    add_table(
        nwbfile,
        "scenes_presentations",
        start_time=[start[row] for row in order],
        stop_time=[stop[row] for row in order],
        frame=[frames[row] for row in order],
    )
    session = opened(nwbfile, tmp_path)
    table = session.presentations
    assert (np.diff(table["start_time"]) > 0).all()
    assert (table["stop_time"] > table["start_time"]).all()
    assert (table["stop_time"] - table["start_time"]).sum() == pytest.approx(step * len(frames))
    middle = np.asarray(start) + step / 2
    shown = table["frame"].to_numpy()[np.searchsorted(table["start_time"], middle, side="right") - 1]
    assert shown.tolist() == frames
    assert [order[row] for row in table["source_row"]] == sorted(order[row] for row in table["source_row"])
    for _, rows in table[table["frame"] >= 0].groupby("frame"):
        assert rows["repeat"].tolist() == list(range(len(rows)))


def test_columns_with_several_values_a_row_are_not_used(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "movie", pixels_of(4), rate=2.0)
    table = add_table(
        nwbfile, "movie_presentations", start_time=[0.0, 2.0], stop_time=[2.0, 4.0], block=[[1, 2], [3, 4]]
    )
    table.add_column(name="frame", description="frames of each showing", data=[0, 1, 2, 0, 1], index=[3, 5])
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, 1, 2, 3] * 2
    assert column(session, "block") == [-1] * 8
    assert "not used: block, frame" in said(session, "warning")


def test_an_infinite_stop_is_an_unknown_one(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "movie", pixels_of(4))
    add_table(nwbfile, "movie_presentations", start_time=[1.0], stop_time=[np.inf], frame=[0])
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert "1 of 1 rows last no time or an unknown one" in said(session, "warning")


def test_invalid_times_are_read(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_invalid_time_interval(start_time=1.5, stop_time=2.5)
    assert opened(nwbfile, tmp_path).invalid_times.tolist() == [[1.5, 2.5]]


def test_invalid_times_without_an_end_have_none(tmp_path: Path) -> None:
    nwbfile = new_file()
    for start, stop in ((np.nan, 1.0), (5.0, np.nan), (np.nan, np.nan)):
        nwbfile.add_invalid_time_interval(start_time=start, stop_time=stop)
    session = opened(nwbfile, tmp_path)
    assert session.invalid_times.tolist() == [[-np.inf, 1.0], [5.0, np.inf]]
    assert "3 invalid intervals lack their start or end" in said(session, "warning")
