from __future__ import annotations

from pathlib import Path

import pytest

from nwb_mivae.sessions import SessionsConfiguration, read_session
from tests.layouts import visual_coding
from tests.nwb_files import add_table, new_file, write
from tests.sessions.test_stimulus import said, seconds


def test_three_rows_of_static_gratings_are_refused_aloud(tmp_path: Path) -> None:
    truth = visual_coding.write(tmp_path, session="B")
    with read_session(truth.files[0]) as session:
        assert "static_gratings" not in set(session.presentations["stimulus"])
        found = [item for item in session.findings if item.object_path == "stimulus/presentation/static_gratings"]
        assert [item.level for item in found] == ["warning"]
        assert "catalystneuro/visual-coding-to-nwb-v2#49" in found[0].message


def test_the_whole_table_is_read(tmp_path: Path) -> None:
    truth = visual_coding.write(tmp_path, session="B", whole_static_gratings=True)
    with read_session(truth.files[0]) as session:
        rows = session.presentations[session.presentations["stimulus"] == "static_gratings"]
        assert len(rows) == 40
        assert rows["blank"].sum() == 8


@pytest.mark.parametrize(("n_rows", "left_out"), [(4, True), (5, False)])
def test_a_trap_of_ones_own(tmp_path: Path, n_rows: int, left_out: bool) -> None:
    conventions = tmp_path / "ours.yaml"
    conventions.write_text(
        """
        layouts:
          - name: ours
            objects: [intervals/*_presentations]
            traps:
              - {object: "intervals/ab*_presentations", fewest_rows: 5, why: the disk was full, remedy: read the log}
        """,
        encoding="utf-8",
    )
    nwbfile = new_file()
    start, stop = seconds(n_rows, 0.25)
    add_table(nwbfile, "abc_presentations", start_time=start, stop_time=stop, frame=range(n_rows))
    path = write(nwbfile, tmp_path / "a.nwb")
    with read_session(path, configuration=SessionsConfiguration(conventions=str(conventions))) as session:
        assert session.presentations.empty == left_out
        assert (f"{n_rows} rows of at least 5, left out: the disk was full; read the log" in said(session)) == left_out
