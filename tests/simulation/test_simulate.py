from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest

from nwb_mivae.errors import OutputError, SimulationError
from nwb_mivae.simulation import SimulatedAnimal, SimulationConfiguration, simulate


def datasets(path: Path) -> dict[str, bytes]:
    """Every dataset's bytes, but for what NWB makes anew each time: the file's date and references within it."""
    found: dict[str, bytes] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("specifications") and item.dtype.kind != "O":
            found[name] = np.asarray(item[()]).tobytes()

    with h5py.File(path) as file:
        file.visititems(note)
    return found


def test_files_are_named_as_dandi_wants(written: list[SimulatedAnimal]) -> None:
    assert [animal.subject for animal in written] == ["sim3mouse01", "sim3mouse02"]
    for number, animal in enumerate(written, start=1):
        assert animal.nwb.parent.name == f"sub-{animal.subject}"
        assert animal.nwb.name == f"sub-{animal.subject}_ses-2025010{number}_behavior+image+ophys.nwb"
        assert animal.truth.name == f"sub-{animal.subject}_ses-2025010{number}_truth.npz"
    folder = written[0].nwb.parent.parent
    assert len(list(folder.rglob("*.*"))) == 4


@pytest.mark.slow
def test_one_animal_of_a_set_can_be_made_alone(
    written: list[SimulatedAnimal], small: SimulationConfiguration, tmp_path: Path
) -> None:
    (alone,) = simulate(tmp_path, small, numbers=[1])
    assert alone.subject == written[1].subject
    assert datasets(alone.nwb) == datasets(written[1].nwb)
    assert alone.truth.read_bytes() == written[1].truth.read_bytes()


@pytest.mark.slow
def test_equal_seeds_give_equal_bytes_whatever_the_number_of_animals(
    written: list[SimulatedAnimal], small: SimulationConfiguration, tmp_path: Path
) -> None:
    again = simulate(tmp_path, small.model_copy(update={"animals": 1}))
    assert len(again) == 1
    assert len(datasets(again[0].nwb)) > 20
    assert datasets(again[0].nwb) == datasets(written[0].nwb)
    with (
        np.load(again[0].truth, allow_pickle=False) as first,
        np.load(written[0].truth, allow_pickle=False) as second,
    ):
        for key in set(first) - {"configuration"}:
            assert first[key].tobytes() == second[key].tobytes(), key
    with pynwb.NWBHDF5IO(again[0].nwb, "r") as one, pynwb.NWBHDF5IO(written[0].nwb, "r") as other:
        assert one.read().identifier == other.read().identifier


def test_animals_share_some_movies_pixel_for_pixel_and_nothing_else(written: list[SimulatedAnimal]) -> None:
    with pynwb.NWBHDF5IO(written[0].nwb, "r") as one, pynwb.NWBHDF5IO(written[1].nwb, "r") as other:
        a, b = one.read(), other.read()
        first = {name: series.data[:] for name, series in a.stimulus_template.items()}
        second = {name: series.data[:] for name, series in b.stimulus_template.items()}
        assert a.identifier != b.identifier
    shared = sorted(set(first) & set(second))
    assert shared == [f"natural_movie_shared_{k:02d}" for k in range(len(shared))]
    assert 0 < len(shared) < len(first)
    for name in shared:
        np.testing.assert_array_equal(first[name], second[name])
    frames = [
        {frame.tobytes() for name in movies if name not in shared for frame in movies[name]}
        for movies in (first, second)
    ]
    assert not frames[0] & frames[1]


@pytest.mark.slow
def test_another_seed_gives_other_animals(
    written: list[SimulatedAnimal], small: SimulationConfiguration, tmp_path: Path
) -> None:
    other = simulate(tmp_path, small.model_copy(update={"animals": 1, "seed": 4}))[0]
    assert other.subject == "sim4mouse01"
    with np.load(other.truth) as first, np.load(written[0].truth) as second:
        assert first["rates"].shape != second["rates"].shape or (first["rates"] != second["rates"]).any()


def test_progress_counts_animals_and_existing_files_are_kept(small: SimulationConfiguration, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    one = small.model_copy(update={"animals": 1, "minutes": 0.2, "imaging_gaps": 0})
    made = simulate(tmp_path, one, progress=lambda description, done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]
    before = made[0].nwb.read_bytes()
    with pytest.raises(OutputError, match="already there"):
        simulate(tmp_path, one)
    assert made[0].nwb.read_bytes() == before
    simulate(tmp_path, one, overwrite=True)
    assert made[0].nwb.read_bytes() != before  # the file's own date and object ids


def test_what_cannot_be_simulated_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with pytest.raises(SimulationError):
        simulate(out, SimulationConfiguration(minutes=0.1))
    assert not out.exists()

    def fail(*arguments: object) -> None:
        raise OSError("disk full")

    import nwb_mivae.simulation.nwb_writer as writer

    monkeypatch.setattr(writer, "_add_behaviour", fail)
    one = SimulationConfiguration(animals=1, minutes=0.2, movie_seconds=2.0, cells=(5, 5))
    with pytest.raises(OSError, match="disk full"):
        simulate(out, one)
    assert not list(out.rglob("*.nwb"))
    assert not list(out.rglob("*partial*"))
