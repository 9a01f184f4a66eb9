from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynwb import NWBFile
from pynwb.ecephys import ElectricalSeries

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions import Session, SessionsConfiguration, SpikeTrains, UnitQuality, read_session
from tests.nwb_files import add_plane, add_traces, new_file, write

TRAINS = [[0.5, 1.25, 2.0], [3.0, 0.1], [], [7.77777]]


def add_electrodes(nwbfile: NWBFile, places: list[tuple[float, float, float, str]]) -> None:
    device = nwbfile.create_device(name="probe")
    group = nwbfile.create_electrode_group(name="probe", description="probe", location="brain", device=device)
    for number, (x, y, z, location) in enumerate(places):
        nwbfile.add_electrode(id=900 + number, x=x, y=y, z=z, location=location, group=group)


def units_file(columns: dict[str, list[Any]] | None = None, **more: Any) -> NWBFile:
    nwbfile = new_file()
    for name in columns or {}:
        nwbfile.add_unit_column(name=name, description=name)
    for row, train in enumerate(TRAINS):
        extra = {name: values[row] for name, values in (columns or {}).items()}
        nwbfile.add_unit(id=50 + row, spike_times=train, **extra, **{key: values[row] for key, values in more.items()})
    return nwbfile


def spikes_of(session: Session) -> SpikeTrains:
    assert isinstance(session.traces, SpikeTrains)
    return session.traces


def said(session: Session) -> str:
    return " | ".join(finding.message for finding in session.findings)


def test_units_are_read_whole_and_sorted(tmp_path: Path) -> None:
    with read_session(write(units_file(), tmp_path / "a.nwb")) as session:
        spikes = spikes_of(session)
        assert spikes.n_cells == 4
        for cell, train in enumerate(TRAINS):
            np.testing.assert_allclose(spikes.of_cell(cell), sorted(train), atol=1e-12)
        assert session.cells["id"].tolist() == [50, 51, 52, 53]
        assert (spikes.kind, spikes.path, spikes.unit) == ("spikes", "units", "spikes")
        assert spikes.interval == (0.1, 7.77777)
        assert "30000 Hz was taken" in said(session)
        assert "no observation intervals" in said(session)
        assert session.cells[["x", "y", "z"]].isna().all().all()


def test_a_stated_resolution_needs_no_guess(tmp_path: Path) -> None:
    from pynwb.misc import Units

    nwbfile = new_file()
    nwbfile.units = Units(name="units", description="units", resolution=1 / 25000)
    for train in TRAINS:
        nwbfile.add_unit(spike_times=train, obs_intervals=[[0.0, 5.0], [6.0, 10.0]])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert "Hz was taken" not in said(session)
        assert spikes_of(session).interval == (0.0, 10.0)


def test_a_recording_beside_the_units_does_not_move_them(tmp_path: Path) -> None:
    nwbfile = units_file()
    add_electrodes(nwbfile, [(1000.0, 2000.0, 3000.0, "VISp")] * 2)
    region = nwbfile.create_electrode_table_region(region=[0, 1], description="all")
    nwbfile.add_acquisition(
        ElectricalSeries(name="lfp", data=np.zeros((10, 2)), electrodes=region, rate=1000.0, starting_time=12.0)
    )
    configuration = SessionsConfiguration(spike_sampling_frequency=20000.0)
    with read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration) as session:
        np.testing.assert_allclose(spikes_of(session).of_cell(0), TRAINS[0])
        assert "Hz was taken" not in said(session)


def test_quality_is_what_the_configuration_says(tmp_path: Path) -> None:
    columns = {
        "quality": ["good", "noise", "good", "good"],
        "isi_violations": [0.1, 0.1, 0.9, 0.2],
        "presence_ratio": [0.99, 0.99, 0.99, np.nan],
    }
    path = write(units_file(columns), tmp_path / "a.nwb")
    with read_session(path) as session:
        assert session.cells["source_row"].tolist() == [0]
        assert "3 of 4 units left out" in said(session)
    loose = SessionsConfiguration(unit_quality=UnitQuality(maximum_isi_violations=None, minimum_presence_ratio=None))
    with read_session(path, configuration=loose) as session:
        assert session.cells["source_row"].tolist() == [0, 2, 3]
        np.testing.assert_allclose(spikes_of(session).of_cell(2), TRAINS[3])
    none = SessionsConfiguration(unit_quality=UnitQuality(labels=("excellent",)))
    with pytest.raises(SessionError, match="none of which passes"):
        read_session(path, configuration=none)


def test_area_and_place_from_the_electrodes(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_electrodes(nwbfile, [(1000.0, 2000.0, 3000.0, "VISp"), (1100.0, 2100.0, 3100.0, "VISl")])
    for row, train in enumerate(TRAINS):
        nwbfile.add_unit(spike_times=train, electrodes=[1, 0] if row % 2 else [0])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["area"].tolist() == ["VISp", "VISl"] * 2
        assert session.cells["x"].tolist() == [1000.0, 1100.0] * 2
        assert "2 of 4 units name several electrodes and no peak channel: the first tells their place" in said(session)


def test_all_channels_of_a_probe_are_no_place_of_a_unit(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_electrodes(nwbfile, [(1000.0, 2000.0, 3000.0, "VISp"), (1100.0, 2100.0, 3100.0, "CA1")])
    for train in TRAINS:
        nwbfile.add_unit(spike_times=train, electrodes=[0, 1])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells[["x", "y", "z"]].isna().all().all()
        assert session.cells["area"].tolist() == [""] * 4
        assert "every unit names the same 2 electrodes" in said(session)


def test_area_and_place_from_the_peak_channel(tmp_path: Path) -> None:
    nwbfile = units_file({"peak_channel_id": [901, 900, 901, 12345]})
    add_electrodes(nwbfile, [(1000.0, 2000.0, 3000.0, "VISp"), (1100.0, 2100.0, 3100.0, "VISl")])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["area"].tolist() == ["VISl", "VISp", "VISl", ""]
        assert session.cells["z"].tolist()[:3] == [3100.0, 3000.0, 3100.0]
        assert np.isnan(session.cells["z"].tolist()[3])


def test_area_from_the_units_own_column(tmp_path: Path) -> None:
    with read_session(write(units_file({"location": ["CA1", "CA1", "CA3", "DG"]}), tmp_path / "a.nwb")) as session:
        assert session.cells["area"].tolist() == ["CA1", "CA1", "CA3", "DG"]


def test_places_of_zero_are_unknown_and_millimetres_are_told(tmp_path: Path) -> None:
    columns = {"peak_channel_id": [900, 901, 900, 901]}
    for scale, expected in ((0.0, np.nan), (1.0, 26630.0)):
        nwbfile = units_file(columns)
        add_electrodes(
            nwbfile, [(26.63 * scale, -15.8 * scale, 3 * scale, "HC"), (21.3 * scale, -0.6 * scale, scale, "AMY")]
        )
        with read_session(write(nwbfile, tmp_path / f"{scale}.nwb")) as session:
            np.testing.assert_allclose(session.cells["x"].tolist()[0], expected)
            assert ("millimetres" in said(session)) == (scale == 1.0)


@pytest.mark.parametrize("ends", [[3, 5, 5, 900], [3, 2, 5, 6]])
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, ends: list[int]) -> None:
    path = write(units_file(), tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["units/spike_times_index"][:] = ends if max(ends) < 256 else [3, 5, 5, 200]
    with pytest.raises(SessionError, match="ending at spike") as caught:
        read_session(path)
    assert caught.value.object_path == "units/spike_times_index"


def test_units_without_a_spike_are_refused(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_unit(spike_times=[1.0])
    nwbfile.add_unit(spike_times=[2.0])
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["units/spike_times"][:] = np.nan
    with pytest.raises(SessionError, match="units without a spike"):
        read_session(path)


def test_spikes_of_a_closed_session_cannot_be_read(tmp_path: Path) -> None:
    session = read_session(write(units_file(obs_intervals=[[[0.0, 9.0]]] * 4), tmp_path / "a.nwb"))
    session.close()
    with pytest.raises(SessionError, match="cannot be read") as caught:
        spikes_of(session).of_cell(0)
    assert caught.value.object_path == "units/spike_times"


def test_only_spikes_and_what_is_asked_of_units_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nwbfile = new_file()
    nwbfile.add_unit_column(name="quality", description="quality")
    nwbfile.add_unit_column(name="spike_amplitudes", description="one per spike", index=True)
    for row, train in enumerate(TRAINS):
        label = ["good", "noise"][row % 2]
        nwbfile.add_unit(spike_times=train, quality=label, spike_amplitudes=train, obs_intervals=[[0.0, 9.0]])
    path = write(nwbfile, tmp_path / "a.nwb")
    read: set[str] = set()
    original = h5py.Dataset.__getitem__

    def watched(self: h5py.Dataset, *arguments: Any) -> Any:
        read.add(self.name)
        return original(self, *arguments)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    with read_session(path) as session:
        assert session.cells["source_row"].tolist() == [0, 2]
        assert not read & {"/units/spike_times", "/units/spike_amplitudes"}
        assert len(spikes_of(session).spike_times) == 3
        np.testing.assert_array_equal(spikes_of(session).of_cell(0), TRAINS[0])
        assert not len(spikes_of(session).of_cell(1))
        assert "/units/spike_times" in read


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), block=st.integers(1, 60))
def test_times_are_the_files_own_whatever_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, block: int
) -> None:
    from nwb_mivae.sessions import spike_times

    monkeypatch.setattr(spike_times, "_SPIKES_PER_BLOCK", block)
    random = np.random.default_rng(seed)
    trains = [random.uniform(0, 1e4, random.integers(0, 40)) for _ in range(6)]
    if trains[0].size:
        trains[0][0] = np.nan
    if not sum(np.isfinite(train).sum() for train in trains[::2]):
        return
    nwbfile = new_file()
    nwbfile.add_unit_column(name="quality", description="quality")
    for row, train in enumerate(trains):
        nwbfile.add_unit(spike_times=train, quality=["good", "noise"][row % 2])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        spikes = spikes_of(session)
        whole = np.concatenate([np.sort(train) for train in trains[::2]])
        for cell in (2, 0, 1, 2):
            np.testing.assert_array_equal(spikes.of_cell(cell), np.sort(trains[2 * cell]))
        np.testing.assert_array_equal(spikes.spike_times[0 : len(whole)], whole)
        np.testing.assert_array_equal(spikes.spike_times[3:11], whole[3:11])
        assert spikes.interval == (np.nanmin(whole), np.nanmax(whole))


def test_criteria_go_by_many_names_and_are_counted_apart(tmp_path: Path) -> None:
    columns = {
        "KSLabel": ["good", "mua", "Good ", "good"],
        "isi_violations_ratio": [0.1, 0.9, 0.2, 0.7],
        "snr": [5.0, 5.0, 1.0, 5.0],
    }
    path = write(units_file(columns), tmp_path / "a.nwb")
    with read_session(path) as session:
        assert session.cells["source_row"].tolist() == [0, 2]
        assert "2 of 4 units left out" in said(session)
        assert "1 whose `KSLabel` is not good" in said(session)
        assert "2 whose `isi_violations_ratio` is above 0.5 or unknown" in said(session)
    strict = SessionsConfiguration(unit_quality=UnitQuality(minimum_signal_to_noise=2.0))
    with read_session(path, configuration=strict) as session:
        assert session.cells["source_row"].tolist() == [0]
        assert "1 whose `snr` is below 2 or unknown" in said(session)


def test_a_quality_in_numbers_is_no_label(tmp_path: Path) -> None:
    with read_session(write(units_file({"quality": [0.9, 0.5, 0.1, 0.2]}), tmp_path / "a.nwb")) as session:
        assert spikes_of(session).n_cells == 4
        assert "holds numbers and no labels" in said(session)


def test_a_coordinate_that_copies_another_is_unknown(tmp_path: Path) -> None:
    nwbfile = units_file({"peak_channel_id": [900, 901, 902, 900]})
    add_electrodes(
        nwbfile, [(1000.0, 2.0, 2.0, "VISp"), (1100.0, 3000.0, 3000.0, "VISl"), (1.0, np.nan, np.nan, "out")]
    )
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["x"].tolist() == [1000.0, 1100.0, 1.0, 1000.0]
        assert session.cells["y"].tolist()[:2] == [2.0, 3000.0]
        assert session.cells["z"].isna().all()
        assert any(item.level == "warning" and "`z` of every electrode equals `y`" in item.message
                   for item in session.findings)  # fmt: skip


def test_peak_channels_that_are_not_there_give_way_to_the_electrodes(tmp_path: Path) -> None:
    nwbfile = new_file()
    add_electrodes(nwbfile, [(1000.0, 2000.0, 3000.0, "VISp"), (1100.0, 2100.0, 3100.0, "VISl")])
    nwbfile.add_unit_column(name="peak_channel_id", description="of another table")
    for train in TRAINS:
        nwbfile.add_unit(spike_times=train, electrodes=[1], peak_channel_id=7)
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert session.cells["area"].tolist() == ["VISl"] * 4


def test_a_layout_may_state_the_unit_of_electrodes(tmp_path: Path) -> None:
    table = tmp_path / "own.yaml"
    table.write_text("layouts: [{name: mine, objects: [units], electrode_unit: millimeters}]")
    nwbfile = units_file({"peak_channel_id": [900] * 4})
    add_electrodes(nwbfile, [(1.0, 2.0, 3.0, "VISp")])
    configuration = SessionsConfiguration(conventions=str(table))
    with read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration) as session:
        assert session.cells[["x", "y", "z"]].to_numpy()[0].tolist() == [1000.0, 2000.0, 3000.0]
        assert "millimetres" not in said(session)


def test_roi_traces_come_before_units_unless_asked(tmp_path: Path) -> None:
    nwbfile = units_file()
    add_traces(nwbfile, add_plane(nwbfile, 2), np.zeros((20, 2)))
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path) as session:
        assert session.traces is not None
        assert session.traces.kind == "dff"
        assert [(item.path, item.chosen) for item in session.candidates][-1] == ("units", False)
        assert "units were not read" in said(session)
    with read_session(path, configuration=SessionsConfiguration(trace="/units")) as session:
        assert spikes_of(session).n_cells == 4
        assert [item.reason for item in session.candidates if item.chosen] == ["as configured"]


def test_damaged_units_beside_good_traces_do_not_matter(tmp_path: Path) -> None:
    nwbfile = units_file()
    add_traces(nwbfile, add_plane(nwbfile, 2), np.zeros((20, 2)))
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["units/spike_times_index"][:] = 200
    with read_session(path) as session:
        assert session.traces is not None


def test_gaps_between_observation_intervals_are_kept(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_unit(spike_times=[0.5, 6.0], obs_intervals=[[0.0, 2.0], [5.0, 6.0], [6.0, 9.0]])
    nwbfile.add_unit(spike_times=[1.0], obs_intervals=[[1.0, 9.0]])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert spikes_of(session).observed.tolist() == [[1.0, 2.0], [5.0, 9.0]]
        assert spikes_of(session).interval == (1.0, 9.0)
        assert any("times common to all" in finding.message for finding in session.findings)


def test_units_observed_at_different_times_are_warned_of(tmp_path: Path) -> None:
    nwbfile = new_file()
    nwbfile.add_unit(spike_times=[0.5], obs_intervals=[[0.0, 2.0]])
    nwbfile.add_unit(spike_times=[5.5], obs_intervals=[[5.0, 6.0]])
    with read_session(write(nwbfile, tmp_path / "a.nwb")) as session:
        assert spikes_of(session).observed.tolist() == [[0.0, 2.0], [5.0, 6.0]]
        assert any(item.level == "warning" and "counts as silent" in item.message for item in session.findings)


def test_a_quality_that_is_text_fails_its_criterion(tmp_path: Path) -> None:
    path = write(units_file({"presence_ratio": ["0.99", "n/a", "0.2", "1.0"]}), tmp_path / "a.nwb")
    with read_session(path) as session:
        assert session.cells["id"].tolist() == [50, 53]
