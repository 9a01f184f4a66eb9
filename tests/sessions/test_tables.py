from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.common import VectorData

from nwb_mivae.sessions import read_session
from nwb_mivae.sessions.nwb import open_nwb
from nwb_mivae.sessions.stimulus import read_presentations
from nwb_mivae.sessions.templates import TemplateCatalogue
from tests.layouts import credit_assignment
from tests.nwb_files import add_images, add_movie, add_table, new_file, pixels_of, write
from tests.sessions.test_stimulus import column, opened, said, seconds


def test_the_stimulus_is_what_the_file_calls_it(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "scenes_template", pixels_of(3))
    start, stop = seconds(3, 0.25)
    times = {"start_time": start, "stop_time": stop}
    add_table(nwbfile, "scenes_presentations", **times, frame=[0, 1, -1])
    later = {name: (np.array(values) + 10).tolist() for name, values in times.items()}
    names = ["novel", "N/A", "familiar"]
    add_table(nwbfile, "images_presentations", **later, stim_name=names, image_name=["scene0", "scene1", "scene2"])
    session = opened(nwbfile, tmp_path)
    assert column(session, "stimulus") == ["scenes"] * 3 + ["novel", "images", "familiar"]
    assert column(session, "template") == ["scenes_template", "scenes_template", ""] + ["scenes_template"] * 3


def test_omitted_images_are_grey_and_said_to_be_omitted(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "set", pixels_of(3), prefix="im")
    start, _ = seconds(4, 0.75)
    add_table(
        nwbfile,
        "set_presentations",
        start_time=start,
        stop_time=np.add(start, [0.25, np.nan, 0.25, 0.25]),
        image_name=["im0", "omitted", "im1", "im2"],
        omitted=[0.0, 1.0, np.nan, 1.0],
    )
    session = opened(nwbfile, tmp_path)
    table = session.presentations[session.presentations["stimulus"] != ""]
    assert table["omitted"].tolist() == [False, True, False, True]
    assert table["blank"].tolist() == [False, True, False, True]
    assert table["frame"].tolist() == [0, -1, 1, -1]


def test_gaps_in_text_and_booleans_written_as_floats_or_text(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "set", pixels_of(3), prefix="im")
    start, stop = seconds(4, 0.25)
    add_table(
        nwbfile,
        "set_presentations",
        start_time=start,
        stop_time=stop,
        image_name=["im0", "N/A", "im1", "nan"],
        stimulus_block=["1", "1", "N/A", "2"],
        is_blank_sweep=[0.0, np.nan, 1.0, 0.0],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [0, -1, -1, -1]
    assert column(session, "block") == [1, 1, -1, 2]


def test_rows_without_a_frame_are_told_by_what_else_they_say(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(4))
    add_images(nwbfile, "set", pixels_of(2), prefix="im")
    add_table(
        nwbfile,
        "mixed_presentations",
        start_time=[0.0, 1.0, 2.0],
        stop_time=[0.04, 1.3, 2.3],
        stimulus_name=["film", "set", "grating"],
        movie_frame_index=[3.0, np.nan, np.nan],
        image_name=["", "im1", ""],
        orientation=[np.nan, np.nan, 45.0],
        spatial_frequency=["N/A", "N/A", "0.04"],
    )
    session = opened(nwbfile, tmp_path)
    shown = session.presentations[~session.presentations["blank"]]
    assert shown["template"].tolist() == ["film", "set", "grating"]
    assert shown["frame"].tolist() == [3, 1, 0]
    assert [bool(text) for text in shown["parameters"]] == [False, False, True]


def test_pictures_of_a_set_that_is_called_otherwise(tmp_path: Path) -> None:
    """000711: the intervals and the set of pictures are called by different dates."""
    nwbfile = new_file()
    for name, first in (("Natural_Images_set_A_2017.07.14", 0), ("Natural_Images_set_B_2017.07.14", 100)):
        add_movie(
            nwbfile, name, pixels_of(2, first=first), rate=np.nan, control=[0, 1], control_description=["im1", "im2"]
        )
    start, stop = seconds(2, 0.25)
    add_table(
        nwbfile, "Natural_Images_set_B_2017_presentations", start_time=start, stop_time=stop, image_name=["im2", "im1"]
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["Natural_Images_set_B_2017.07.14"] * 2
    assert column(session, "frame") == [1, 0]
    assert "which has pictures of their names" in said(session, "guess")


def test_pictures_that_several_unrelated_sets_have_are_not_guessed(tmp_path: Path) -> None:
    nwbfile = new_file()
    for name in ("first", "second"):
        add_images(nwbfile, name, pixels_of(2), prefix="im")
    start, stop = seconds(2, 0.25)
    add_table(nwbfile, "shown_presentations", start_time=start, stop_time=stop, image_name=["im1", "im0"])
    session = opened(nwbfile, tmp_path)
    assert column(session, "template") == ["shown_presentations"] * 2
    assert "in 2 sets of other names; none was used" in said(session, "warning")


def test_a_set_of_pictures_is_no_movie(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_images(nwbfile, "set", pixels_of(4))
    add_table(nwbfile, "set_presentations", start_time=[0.0, 1.0], stop_time=[1.0, 2.0])
    session = opened(nwbfile, tmp_path)
    assert session.presentations.empty
    assert "2 rows name a set of pictures and do not say which of them, left out" in said(session, "warning")


def test_a_movie_with_a_contrast_is_a_movie(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "film", pixels_of(20), rate=10.0)
    names = {"stimulus_name": ["film"], "contrast": [1.0], "size": ["[1920.0, 1080.0]"], "units": ["pix"]}
    add_table(nwbfile, "film_presentations", start_time=[0.0], stop_time=[2.0], **names)
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == list(range(20))
    assert set(column(session, "parameters")) == {""}


def test_a_table_of_epochs_counts_where_it_tells_of_gratings(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(
        nwbfile,
        "epochs",
        start_time=[0.0, 3.0],
        stop_time=[2.0, 5.0],
        direction=[0.0, 90.0],
        contrast=[0.8, 0.1],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "stimulus") == ["epochs", "", "epochs"]
    assert session.missing_templates == {
        "epochs": "described by parameters (contrast, orientation), not by pixels; "
        "it cannot be drawn without spatial_frequency"
    }


def test_a_table_of_trials_with_a_contrast_tells_of_no_stimulus(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_table(nwbfile, "trials", start_time=[0.0], stop_time=[2.0], contrast=[0.8], size=[20.0])
    assert opened(nwbfile, tmp_path).presentations.empty


def test_a_long_table_is_read_by_column_and_each_column_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_rows = 100_000
    nwbfile = new_file()
    add_movie(nwbfile, "film", np.zeros((300, 2, 2), np.uint8))
    onset, row = np.arange(n_rows) / 30, np.arange(n_rows)
    name = "intervals/shown"
    add_table(
        nwbfile,
        "shown",
        start_time=onset,
        stop_time=onset + 1 / 30,
        stimulus_name=np.where(row < n_rows / 2, "film", "drifting"),
        frame=np.where(row < n_rows / 2, row % 300, np.nan),
        orientation=row // 60 % 8 * 45.0,
        spatial_frequency=np.full(n_rows, "0.04"),
        never_needed=np.zeros(n_rows),
    )
    path = write(nwbfile, tmp_path / "a.nwb")
    file = open_nwb(path)
    catalogue = TemplateCatalogue.of(file, None)
    reads: dict[str, int] = {}
    original = h5py.Dataset.__getitem__

    def counted(self: Any, *arguments: Any, **more: Any) -> Any:
        reads[str(self.name)] = reads.get(str(self.name), 0) + 1
        return original(self, *arguments, **more)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    before = time.process_time()
    shown, granularity = read_presentations(file, catalogue)
    spent = time.process_time() - before
    file.close()
    ours = {dataset: count for dataset, count in reads.items() if dataset.startswith(f"/{name}/")}
    assert set(ours.values()) == {1}
    assert f"/{name}/never_needed" not in ours
    assert len(shown) > n_rows / 2
    assert list(granularity) == [name]
    assert spent < 6.0


def test_first_frames_of_trials_beside_an_index_and_without_one(tmp_path: Path) -> None:
    """000037: an index tells of every frame; without it the number of a trial's first frame says too little."""
    truth = credit_assignment.write(tmp_path / "whole")
    with read_session(truth.files[0]) as session:
        assert set(session.presentations.loc[~session.presentations["blank"], "source_path"]) == {
            f"stimulus/presentation/{name}" for name in ("gabors", "visflow_left", "visflow_right")
        }
        assert (session.presentations["frame"] >= 0).sum() == sum(
            row.template is not None for row in truth.presentations
        )
        assert "rows say with which frame" not in said(session)
    nwbfile = new_file()
    add_movie(nwbfile, "visflow", pixels_of(90), rate=np.nan)
    add_movie(nwbfile, "slow", pixels_of(90), rate=10.0)
    add_table(
        nwbfile,
        "trials",
        start_time=[0.0, 1.0, 2.0],
        stop_time=[1.0, 2.0, 3.0],
        stimulus_template_name=["visflow", "slow", "slow"],
        start_frame_stim_template=[0, 30, 85],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "frame") == [*range(30, 40), *range(85, 90)]
    assert "1 rows say with which frame they begin, and no rate says which follow" in said(session, "warning")


def test_several_patches_in_ragged_columns(tmp_path: Path) -> None:
    truth = credit_assignment.write(tmp_path, asset="plain")
    with read_session(truth.files[0]) as session:
        drawn = session.presentations[session.presentations["parameters"] != ""]
        assert len(drawn) == sum("gabor_frame" in row.parameters for row in truth.presentations)
        assert {session.templates[name].origin for name in drawn["template"]} == {"rendered"}
        blank = session.presentations[session.presentations["blank"]]
        assert len(blank) == sum(row.blank for row in truth.presentations)


def test_a_column_of_vectors_is_a_parameter_too(tmp_path: Path) -> None:
    nwbfile = new_file()
    table = add_table(nwbfile, "grating_presentations", start_time=[0.0, 1.0], stop_time=[1.0, 2.0])
    columns = {"orientation": [0.0, 90.0], "spatial_frequency": [0.04, 0.04], "color": np.ones((2, 3))}
    for name, data in columns.items():
        table.add_column(name=name, description=name, data=data, col_cls=VectorData)
    session = opened(nwbfile, tmp_path)
    assert '"colour": 1.0' in column(session, "parameters")[0]
    assert column(session, "frame") == [0, 1]


def test_a_grating_without_contrast_is_a_grey_screen_and_radians_are_no_degrees(tmp_path: Path) -> None:
    """001768: numbers as text, angles in radians, an omission as a grating of contrast 0."""
    nwbfile = new_file()
    add_table(
        nwbfile,
        "Control block 2_presentations",
        start_time=[0.0, 0.25, 0.5],
        stop_time=[0.25, 0.5, 0.75],
        stim_name=["Control block 2"] * 3,
        Orientation=[str(np.pi / 4), str(np.pi / 2), "0.0"],
        Spatial_Frequency=["0.04"] * 3,
        Contrast=["1.0", "0.0", "1.0"],
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "blank") == [False, True, False]
    assert '"orientation": 45.0' in column(session, "parameters")[0]


def test_an_omission_is_a_kind_of_trial(tmp_path: Path) -> None:
    nwbfile = new_file()
    start, stop = seconds(3, 0.25)
    add_table(
        nwbfile,
        "Control block 2_presentations",
        start_time=start,
        stop_time=stop,
        stim_name=["Control block 2"] * 3,
        TrialType=["single", "omission", "halt"],
        Orientation=["0.0", "1.5707963267948966", "3.141592653589793"],
        Spatial_Frequency=["0.04"] * 3,
        Temporal_Frequency=["0.0"] * 3,
        Contrast=["1.0"] * 3,
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "omitted") == [False, True, False]
    assert column(session, "blank") == [False, True, False]
    angles = [json.loads(each)["orientation"] if each else None for each in column(session, "parameters")]
    assert angles == [0.0, None, 180.0]


def test_the_turn_of_a_movie_does_not_hide_its_pixels(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_movie(nwbfile, "walk", pixels_of(10))
    add_table(
        nwbfile,
        "walk_presentations",
        start_time=[0.0, 1.0],
        stop_time=[1 / 3, 4 / 3],
        orientation=[0.0, 0.0],
        contrast=[1.0, 1.0],
    )
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        rows = session.presentations
        assert rows["template"].tolist() == ["walk"] * 20
        assert rows["frame"].tolist() == list(range(10)) * 2
        assert rows["repeat"].tolist() == [0] * 10 + [1] * 10
