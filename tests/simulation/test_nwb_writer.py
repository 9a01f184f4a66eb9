from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest

from nwb_mivae.simulation import SimulatedAnimal


@pytest.fixture(scope="module")
def nwbfile(written: list[SimulatedAnimal]) -> Iterator[Any]:
    with pynwb.NWBHDF5IO(written[0].nwb, "r") as io:
        yield io.read()


@pytest.fixture(scope="module")
def truth(written: list[SimulatedAnimal]) -> dict[str, np.ndarray]:
    with np.load(written[0].truth, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_files_are_valid(written: list[SimulatedAnimal]) -> None:
    for animal in written:
        assert pynwb.validate(path=str(animal.nwb)) == []


@pytest.mark.slow
def test_the_inspector_suggests_at_most(written: list[SimulatedAnimal]) -> None:
    from nwbinspector import Importance, inspect_nwbfile, load_config

    for animal in written:
        found = list(inspect_nwbfile(nwbfile_path=animal.nwb, config=load_config("dandi")))
        worse = [message for message in found if message.importance != Importance.BEST_PRACTICE_SUGGESTION]
        assert not [message.message for message in worse]


def test_the_file_says_that_it_is_simulated(nwbfile: Any) -> None:
    assert nwbfile.session_description.startswith("Simulated animal, not a recording")
    assert nwbfile.session_start_time.isoformat() == "2025-01-01T09:00:00+00:00"
    assert nwbfile.subject.species == "Mus musculus"
    assert nwbfile.subject.age == "P90D"
    assert nwbfile.subject.subject_id == "sim3mouse01"


def test_traces_are_chunked_and_have_their_clock(nwbfile: Any, truth: dict[str, np.ndarray]) -> None:
    series = nwbfile.processing["ophys"]["DfOverF"]["DfOverF"]
    n = len(truth["cell_type"])
    assert series.data.shape == (len(series.timestamps), n)
    assert series.data.chunks == (256, n)
    assert series.data.compression == "gzip"
    steps = np.diff(series.timestamps[:])
    assert steps.min() > 0.0
    # Two gaps of at least a second, unless they ran into each other.
    assert 1 <= (steps > 0.9).sum() <= 2
    plane = series.rois.table.imaging_plane
    assert 1.0 / np.median(steps) == pytest.approx(plane.imaging_rate, rel=1e-3)
    assert plane.indicator == "GCaMP6f"


def test_coordinates_can_be_recovered_from_masks_and_plane(nwbfile: Any, truth: dict[str, np.ndarray]) -> None:
    rois = nwbfile.processing["ophys"]["DfOverF"]["DfOverF"].rois.table
    plane = rois.imaging_plane
    origin, spacing = np.array(plane.origin_coords), np.array(plane.grid_spacing)
    for row, place in enumerate(truth["coordinates"]):
        mask = rois["pixel_mask"][row]
        weight = mask["weight"]
        x, y = ((mask[axis] * weight).sum() / weight.sum() for axis in "xy")
        found = 1e6 * np.array([origin[0] + x * spacing[0], origin[1] + y * spacing[1], origin[2]])
        np.testing.assert_allclose(found, place, atol=0.2)


def test_presentations_agree_with_the_truth_and_the_templates(nwbfile: Any, truth: dict[str, np.ndarray]) -> None:
    table = nwbfile.intervals["natural_movie_presentations"]
    assert table.colnames == (
        "start_time",
        "stop_time",
        "stimulus_name",
        "movie_frame_index",
        "stimulus_block",
        "movie_repeat",
    )
    rows = truth["presentation"] >= 0
    np.testing.assert_array_equal(table["start_time"][:], truth["frame_time"][rows])
    np.testing.assert_array_equal(table["movie_frame_index"][:], truth["frame_number"][rows])
    np.testing.assert_array_equal(table["stimulus_name"][:], truth["movie_names"][truth["frame_movie"][rows]])
    assert set(table["stimulus_name"][:]) <= set(nwbfile.stimulus_template)
    assert table["movie_repeat"][:].max() == 2
    lasting = table["stop_time"][:] - table["start_time"][:]
    assert lasting.min() > 0.0
    assert (lasting > 1.5 / 30.0).mean() == pytest.approx(truth["frame_dropped"].mean(), abs=0.01)
    for template in nwbfile.stimulus_template.values():
        assert template.data.shape == (66, 36, 64)
        assert template.data.dtype == np.uint8


def test_flashes_are_named_described_and_presented_like_other_movies(written_planted: list[SimulatedAnimal]) -> None:
    templates = []
    for animal in written_planted:
        with pynwb.NWBHDF5IO(animal.nwb, "r") as io:
            nwbfile = io.read()
            assert "natural movies and flashed pictures" in nwbfile.session_description
            table = nwbfile.intervals["natural_movie_presentations"]
            templates.append({name: series.data[:] for name, series in nwbfile.stimulus_template.items()})
            assert set(table["stimulus_name"][:]) == set(templates[-1])
            flashed = [name.startswith("flashed") for name in table["stimulus_name"][:]]
            assert table["movie_repeat"][:][flashed].max() == 2
            for name, series in nwbfile.stimulus_template.items():
                kind = " ".join(name.split("_")[:2]).capitalize()
                assert series.description.startswith(kind)
    shared = set(templates[0]) & set(templates[1])
    for kind in ("flashed_photographs", "flashed_patches", "natural_movie"):
        assert any(name.startswith(f"{kind}_shared_") for name in shared)
        assert any(name.startswith(f"{kind}_sim3mouse01_") for name in templates[0])
    for name in shared:
        np.testing.assert_array_equal(templates[0][name], templates[1][name])


def test_a_file_with_flashes_is_read_and_prepared(written_planted: list[SimulatedAnimal], tmp_path: Path) -> None:
    from nwb_mivae import read_session
    from nwb_mivae.clips import SplitConfiguration, make_split, prepare

    with (
        np.load(written_planted[0].truth, allow_pickle=False) as truth,
        read_session(written_planted[0].nwb) as session,
    ):
        shown = truth["presentation"] >= 0
        names = truth["movie_names"][truth["frame_movie"][shown]]
        np.testing.assert_array_equal(session.presentations["template"], names)
        np.testing.assert_array_equal(session.presentations["frame"], truth["frame_number"][shown])
        assert not session.missing_templates

    store = prepare([animal.nwb for animal in written_planted], tmp_path / "store")
    split = make_split(store, SplitConfiguration(held_out=0), n_frames=8)
    for stored in store.sessions.values():
        flashed = np.char.startswith(np.array(stored.template_names), "flashed")[stored.template]
        blank = store.blank_content[stored.content]
        # Half a flashing movie and a bit is picture, the rest grey, which is content of no part.
        assert 0.3 < blank[flashed].mean() < 0.6
        assert not blank[~flashed & (stored.template >= 0)].any()
        assert (split.part_of_rows(stored)[blank] == 3).all()


def test_behaviour_has_two_kinds_of_clock(nwbfile: Any, truth: dict[str, np.ndarray]) -> None:
    behaviour = nwbfile.processing["behavior"]
    speed = behaviour["BehavioralTimeSeries"]["running_speed"]
    pupil = behaviour["PupilTracking"]["pupil_diameter"]
    assert (speed.unit, pupil.unit) == ("cm/s", "mm")
    assert speed.timestamps is not None
    assert pupil.rate == pytest.approx(30.1)
    at_frames = np.interp(truth["frame_time"], speed.timestamps[:], speed.data[:])
    assert np.abs(at_frames - 10.0 * truth["factors"][:, 0]).mean() < 0.5


def test_nothing_of_the_truth_is_in_the_file(written: list[SimulatedAnimal]) -> None:
    import h5py

    names: list[str] = []
    with h5py.File(written[0].nwb) as file:
        file.visit(names.append)
    said = " ".join(name for name in names if not name.startswith("specifications")).lower()
    for word in ("rates", "drive", "factor", "spike", "receptive", "loading", "cell_type", "arousal", "truth"):
        assert word not in said
