"""A run's directory: every part has its own place inside it."""

from __future__ import annotations

from pathlib import Path

from nwb_mivae.run import Run


def test_every_part_has_its_own_place_inside_the_directory(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path / "run"))
    assert run.directory == tmp_path / "run"
    names = [name for name, value in vars(Run).items() if isinstance(value, property)]
    places = [getattr(run, name) for name in names]
    assert all(place.parent == run.directory for place in places)
    assert len(set(places)) == len(places) >= 11
    # Naming a place makes nothing.
    assert not run.directory.exists()


def test_places_are_named_by_what_they_hold() -> None:
    run = Run.at("run")
    for name in ("configuration", "provenance", "split", "model", "checkpoint", "evaluation", "report"):
        assert getattr(run, name).stem == name
    assert run.training_log.suffix == ".csv"
