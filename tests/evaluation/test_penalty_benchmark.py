"""The benchmark of the read-out's penalty, whole, on the smallest kind of recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.outputs import read_json
from tests.benchmarks.penalty.__main__ import main
from tests.benchmarks.penalty.measure import ABSOLUTE, MULTIPLES

pytestmark = pytest.mark.slow


def test_penalties_are_compared_on_content_the_context_never_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--kinds", "few_cells", "--out", str(tmp_path / "out"), "--page", str(tmp_path / "page.md")]
    main(arguments)
    result = read_json(tmp_path / "out" / "few_cells.json")
    for sessions in result["contexts"].values():
        for session in sessions:
            penalties = session["penalties"]
            assert set(penalties) == {*map(str, MULTIPLES), "absolute"}
            # 20 cells of unit variance at three offsets.
            assert penalties["absolute"]["multiple"] == pytest.approx(ABSOLUTE / 60, rel=0.2)
            assert all(each["r_squared"] < 1 for each in penalties.values())
    whole = result["contexts"]["whole training part"]
    assert sum(each["penalties"]["2.0"]["top1"] for each in whole) > 5 * sum(1 / each["clips"] for each in whole)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert text.count("| 20 cells |") == 2

    capsys.readouterr()
    main(arguments)
    assert capsys.readouterr().out == "few_cells.json is there\n"
