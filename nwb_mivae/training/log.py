"""The training log: one CSV row per logged step, one column per term of the loss and per figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["TrainingLog", "read_training_log"]


class TrainingLog:
    """Appends rows to a CSV file whose columns the first row fixes; a row may leave columns empty.

    Parameters
    ----------
    path : Path
        The file; rows of steps before ``first_step`` are kept, so that a resumed run has one unbroken log.
    columns : sequence of str
        All columns after ``step``.
    """

    def __init__(self, path: Path, columns: list[str], *, first_step: int) -> None:
        self._columns = ["step", *columns]
        kept = [row for row in read_training_log(path) if row["step"] < first_step] if path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._stream, self._columns, extrasaction="raise")
        self._writer.writeheader()
        for row in kept:
            self.add(int(row.pop("step")), row)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write one row, at once."""
        self._writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in values.items()}})
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


def read_training_log(path: Path) -> list[dict[str, float]]:
    """The rows of a training log, each with the columns that it fills."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {name: float(value) for name, value in row.items() if value not in ("", None)}
            for row in csv.DictReader(stream)
        ]
