from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb.image import ImageSeries, IndexSeries

from nwb_mivae.sessions import read_session
from tests.layouts import differentiation, visual_behavior
from tests.nwb_files import add_images, new_file, pixels_of, write
from tests.sessions.test_stimulus import column, index_series, opened, said


def retyped(path: Path, data: Any) -> Path:
    """The index ``shown`` with data of another number type."""
    with h5py.File(path, "r+") as file:
        group = file["stimulus/presentation/shown"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group["data"] = data
        group["data"].attrs.update(attributes)
    return path


def scenes_as_published(random: np.random.Generator) -> np.ndarray[Any, Any]:
    """119 conditions of 50 rows each, as in dandiset 000728: 118 scenes and the blank, -1."""
    return np.concatenate([random.permutation(np.arange(-1, 118)) for _ in range(50)])


@pytest.mark.parametrize("became", ["zero", "largest"])
def test_blanks_cast_to_unsigned_at_full_length(tmp_path: Path, became: str) -> None:
    order = scenes_as_published(np.random.default_rng(1))
    stored = np.where(order < 0, 0 if became == "zero" else np.iinfo(np.uint32).max, order)
    nwbfile = new_file()
    index_series(nwbfile, add_images(nwbfile, "scenes", pixels_of(118)), stored, timestamps=10 + 0.25 * np.arange(5950))
    session = opened(nwbfile, tmp_path)
    table = session.presentations
    if became == "largest":
        assert table["frame"].tolist() == order.tolist()
        assert table["blank"].sum() == 50
        return
    assert table["frame"].tolist() == order[order > 0].tolist()
    assert table["source_row"].tolist() == np.flatnonzero(order > 0).tolist()
    assert not table["blank"].any()  # a row that may have shown scene 0 is no grey pause
    np.testing.assert_allclose(table["stop_time"] - table["start_time"], 0.25, atol=1e-9)
    assert "picture 0 has 100 rows, the others 50" in said(session, "guess")


def test_a_signed_index_can_say_blank_itself(tmp_path: Path) -> None:
    shown = np.concatenate([np.tile(np.arange(12), 10), np.zeros(10, dtype=int)])
    nwbfile = new_file()
    index_series(nwbfile, add_images(nwbfile, "scenes", pixels_of(12)), shown, timestamps=np.arange(len(shown)) * 0.25)
    path = retyped(write(nwbfile, tmp_path / "a.nwb"), shown.astype(np.int64))
    with read_session(path) as session:
        assert (session.presentations["frame"] == 0).sum() == 20


def test_minus_one_in_sixteen_bits(tmp_path: Path) -> None:
    nwbfile = new_file()
    index_series(nwbfile, add_images(nwbfile, "scenes", pixels_of(3)), [0, 1, 2], timestamps=[0.0, 0.25, 0.5])
    path = retyped(write(nwbfile, tmp_path / "a.nwb"), np.array([0, 65535, 2], dtype=np.uint16))
    with read_session(path) as session:
        assert session.presentations["frame"].tolist() == [0, -1, 2]


def test_an_index_of_an_external_movie(tmp_path: Path) -> None:
    nwbfile = new_file()
    index_series(nwbfile, add_images(nwbfile, "set", pixels_of(2)), [0, 5], timestamps=[0.0, 0.04])
    nwbfile.add_stimulus_template(
        ImageSeries(
            name="film", external_file=["a.mp4"], format="external", unit="n.a.", starting_frame=[0], timestamps=[0.0]
        )
    )
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        group = file["stimulus/presentation/shown"]
        del group["indexed_images"]
        group["indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/film")
    with read_session(path) as session:
        assert session.presentations["template"].tolist() == ["a.mp4"] * 2


def test_a_grey_movie_is_a_grey_screen(tmp_path: Path) -> None:
    nwbfile = new_file()
    images = add_images(nwbfile, "grey", pixels_of(1))
    nwbfile.add_stimulus(
        IndexSeries(
            name="grayscreen",
            data=np.zeros(60, dtype=np.uint32),
            unit="N/A",
            indexed_images=images,
            timestamps=np.arange(60) / 60,
        )
    )
    session = opened(nwbfile, tmp_path)
    assert column(session, "blank") == [True]
    assert column(session, "stop_time") == [pytest.approx(1.0)]


def test_one_sample_per_display_frame_and_late_refreshes(tmp_path: Path) -> None:
    """000036: no table; where the display was late a frame was held, and is one row."""
    truth = differentiation.write(tmp_path, dropped_refreshes=2)
    with read_session(truth.files[0]) as session:
        table = session.presentations
        assert set(session.granularity.values()) == {"display frame"}
        assert len(table) == len(truth.presentations)
        np.testing.assert_allclose(table["start_time"], [row.start for row in truth.presentations], atol=1e-6)
        assert table["frame"].tolist() == [row.frame for row in truth.presentations]
        assert table["blank"].tolist() == [row.blank for row in truth.presentations]


def test_an_extension_of_image_series_whose_pictures_are_called_by_its_descriptions(tmp_path: Path) -> None:
    """000711: StimulusTemplate, known from the cached namespace only, with NaN as timestamps."""
    truth = visual_behavior.write(tmp_path)
    with read_session(truth.files[0]) as session:
        table = session.presentations
        shown = table[(table["stimulus"] != "") & (table["start_time"] < 30)]
        truth_at = truth.frame_shown(shown["start_time"].to_numpy() + 0.01)
        rows = [truth.presentations[row] for row in truth_at]
        assert shown["frame"].tolist() == [row.frame if row.template else -1 for row in rows]
        assert shown["omitted"].tolist() == [row.omitted for row in rows]
        assert (
            set(shown["source_path"]) & {"stimulus/presentation/Natural_Images_Lum_Matched_set_training_2017.07.14"}
            == set()
        )
