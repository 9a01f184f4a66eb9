"""Results come back as they were written, and whatever is no such file is refused in one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.errors import ModelError
from nwb_mivae.result_file import read_result, write_result


def read(path: Path) -> tuple[str, np.ndarray]:
    return read_result(
        path,
        lambda header, arrays: (header["session"], arrays["values"]),
        what="numbers",
        written_by="Numbers",
        error=ModelError,
    )


def test_header_and_arrays_come_back(tmp_path: Path) -> None:
    write_result(tmp_path / "a.npz", {"session": "a"}, {"values": np.arange(3)})
    session, values = read(tmp_path / "a.npz")
    assert session == "a"
    assert values.tolist() == [0, 1, 2]


def test_a_header_that_json_does_not_have_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_result(tmp_path / "a.npz", {"figure": float("nan")}, {})
    assert not list(tmp_path.iterdir())


def test_what_is_missing_damaged_or_would_be_executed_is_refused_by_name(tmp_path: Path) -> None:
    write_result(tmp_path / "whole.npz", {"session": "a"}, {"values": np.arange(3)})
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    write_result(tmp_path / "lacking.npz", {"session": "a"}, {})
    np.savez(tmp_path / "list.npz", header=np.array("[1]"), values=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"session": "a"}], dtype=object))
    for name in ("missing", "empty", "cut", "lacking", "list", "pickle"):
        with pytest.raises(ModelError, match="holds no numbers") as refused:
            read(tmp_path / f"{name}.npz")
        assert refused.value.file == str(tmp_path / f"{name}.npz")
        assert refused.value.remedy == "compute the numbers again"
