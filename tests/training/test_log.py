"""The training log."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.training.log import TrainingLog, read_training_log


def test_rows_may_leave_columns_empty_and_are_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "training.csv"
    with TrainingLog(path, ["total", "validation_total"], first_step=1) as log:
        log.add(1, {"total": 2.5})
        assert read_training_log(path) == [{"step": 1.0, "total": 2.5}]
        log.add(2, {"total": 1.5, "validation_total": 3.0})
    assert read_training_log(path)[1] == {"step": 2.0, "total": 1.5, "validation_total": 3.0}


def test_a_resumed_log_keeps_what_came_before_and_drops_what_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    with TrainingLog(path, ["total"], first_step=1) as log:
        for step in (1, 2, 3):
            log.add(step, {"total": step / 3})
    before = path.read_text().splitlines()
    with TrainingLog(path, ["total"], first_step=3) as log:
        log.add(3, {"total": 1.0})
    assert path.read_text().splitlines()[:3] == before[:3]
    assert [row["step"] for row in read_training_log(path)] == [1, 2, 3]


def test_a_column_nobody_announced_is_a_mistake(tmp_path: Path) -> None:
    with (
        TrainingLog(tmp_path / "training.csv", ["total"], first_step=1) as log,
        pytest.raises(ValueError, match="surprise"),
    ):
        log.add(1, {"surprise": 1.0})
