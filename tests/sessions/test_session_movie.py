from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from pynwb.image import ImageSeries

from nwb_mivae.sessions import Session, read_session
from tests.nwb_files import add_table, new_file, pixels_of, write
from tests.sessions.test_stimulus import said

RATE = 60.0
NAME = "Video: stimulus_17797_9_4_v4"


def session_of(tmp_path: Path, *, jitter: float = 0.0, dropped: int = 0, columns: bool = True) -> Session:
    """The layout of dandiset 000402: 5 s of a screen with five rows of two conditions, one of them shown once.

    The pixels of frame i are i; colour, and a name with a colon that pynwb would not write.
    """
    random = np.random.default_rng(0)
    times = 3.0 + np.arange(250) / RATE
    times += jitter * random.uniform(-0.5, 0.5, len(times))
    pixels = np.repeat(pixels_of(250)[..., None], 3, axis=-1)
    kept = np.delete(np.arange(250), np.arange(131, 131 + dropped))
    nwbfile = new_file()
    nwbfile.add_acquisition(ImageSeries(name="video_stimulus", data=pixels[kept], unit="n.a.", timestamps=times[kept]))
    first = np.array([0, 60, 120, 180])
    hashes = {"condition_hash": ["aa", "bb", "aa", "cc"]} if columns else {}
    onset = 3.0 + first / RATE
    add_table(nwbfile, "Clip", start_time=onset, stop_time=onset + 40 / RATE, movie_name=["x", "y", "x", "z"], **hashes)
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file.move("acquisition/video_stimulus", f"acquisition/{NAME}")
    return read_session(path)


def test_tables_name_the_frames_and_mark_the_repeats(tmp_path: Path) -> None:
    with session_of(tmp_path, jitter=0.002) as session:
        table = session.presentations
        assert len(table) == 250
        assert set(table["source_path"]) == {f"acquisition/{NAME}"}
        assert table["stimulus"].value_counts().to_dict() == {"Clip": 160, NAME: 90}
        clip = table[table["template"] == "Clip aa"]
        assert clip["frame"].tolist() == [*range(40)] * 2
        assert clip["repeat"].tolist() == [0] * 40 + [1] * 40
        np.testing.assert_array_equal(session.templates["Clip aa"].read(np.array([0, 39]))[:, 0, 0], [0, 39])
        assert clip["source_row"].tolist() == [*range(40), *range(120, 160)]
        once = table[(table["stimulus"] == "Clip") & (table["template"] == NAME)]
        assert once["frame"].tolist() == [*range(60, 100), *range(180, 220)]
        assert session.missing_templates == {}
        assert "1 rows repeat another by their condition" in said(session, "guess")
        assert "4 rows name frames of" in said(session)
        assert "4 of 4 rows tell of times that" in said(session)


def test_a_repeat_of_another_length_is_none(tmp_path: Path) -> None:
    with session_of(tmp_path, dropped=10) as session:
        table = session.presentations
        assert set(table["template"]) == {NAME}
        assert (table["repeat"] == 0).all()
        assert "are longer or shorter than others of their condition" in said(session, "guess")


def test_a_dropped_frame_at_the_end_is_no_other_clip(tmp_path: Path) -> None:
    with session_of(tmp_path, dropped=1) as session:
        clip = session.presentations[session.presentations["template"] == "Clip aa"]
        assert clip["repeat"].tolist() == [0] * len(clip[clip["repeat"] == 0]) + [1] * 39


def test_without_conditions_the_frames_are_named_only(tmp_path: Path) -> None:
    with session_of(tmp_path, columns=False) as session:
        assert set(session.presentations["template"]) == {NAME}
        assert set(session.presentations["stimulus"]) == {"Clip", NAME}
