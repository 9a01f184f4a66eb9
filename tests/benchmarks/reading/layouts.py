"""Which layouts are read, and what each yields.

    python -m tests.benchmarks.reading.layouts [--markdown] [--oddities] [--out FILE.json]

A file of every layout of the field guide is written, read, aligned, prepared and compared with its truth, by the checks
that the tests use (:mod:`tests.layouts.checks`). Where real files are at hand (`../shared/data/real`, or the folder in
`NWB_MIVAE_REAL_DATA`), a second table tells what each of them yields; there is no truth to compare it with.

The exit status is 1 if any layout differs from its truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nwb_mivae.clips import prepare
from nwb_mivae.errors import NwbMivaeError
from nwb_mivae.sessions import Session, read_session
from tests.layouts.cases import CASES
from tests.layouts.checks import CHECKS, STORE, summary
from tests.openscope_sessions import write_openscope_sessions

__all__ = ["REAL_COLUMNS", "layouts_table", "real_files", "real_table"]

REAL_COLUMNS = ("reads", "traces", "coordinates", "frame table", "frames", "report")

Row = Mapping[str, str]


def layouts_table(*, oddities: bool = False) -> dict[str, dict[str, str]]:
    """What the checks say of every layout, by the name of its case; with ``oddities`` of every variant, too."""
    table = {}
    for number, case in enumerate(case for case in CASES if case.main or oddities):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{number + 1}: {case.key}", file=sys.stderr)
            table[case.key] = summary(case, Path(folder))
    return table


def real_files(folder: Path, scratch: Path) -> dict[str, Path]:
    """Real NWB files by name; published traces that come without NWB are converted into ``scratch``, the first of them.

    The times of a converted session are invented, and it says so.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("nwb*/*.nwb"))}
    trials = folder / "ophys" / "openscope_gabor_trials.json"
    if trials.is_file():
        name = f"{trials.relative_to(folder).as_posix()} (converted, times invented)"
        files[name] = write_openscope_sessions(trials, scratch)[0]
    return files


def real_table(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """What each of these files yields."""
    return {name: _yield_of(path) for name, path in files.items()}


def _yield_of(path: Path) -> dict[str, str]:
    try:
        session = read_session(path)
    except NwbMivaeError as error:
        return {name: f"refused: {error.found}" if name == "reads" else "refused" for name in REAL_COLUMNS}
    with session:
        return {
            "reads": f"yes, {len(session.findings)} findings",
            "traces": _traces_of(session),
            "coordinates": _coordinates_of(session),
            "frame table": _rows_of(session),
            "frames": _frames_of(session),
            "report": _report_of(session),
        }


def _traces_of(session: Session) -> str:
    if session.traces is None:
        return "not in the file"
    stored = max(sum(each.shape[0] for each in session.candidates if each.chosen), session.traces.n_cells)
    units = f" of {stored}" if session.traces.kind == "spikes" else ""
    first, last = session.traces.interval
    return f"{session.traces.kind}, {session.traces.n_cells}{units} cells, {last - first:.0f} s"


def _coordinates_of(session: Session) -> str:
    positions = session.cells[["x", "y", "z"]].to_numpy(dtype=np.float64)
    known = [f"{name} of {int(n)}" for name, n in zip("xyz", np.isfinite(positions).sum(axis=0), strict=True) if n]
    return f"{', '.join(known)} cells" if known else "not in the file"


def _rows_of(session: Session) -> str:
    if session.presentations.empty:
        return "not in the file"
    kinds = ", ".join(sorted(set(session.granularity.values())))
    return f"{len(session.presentations)} rows of {len(session.granularity)} tables as {kinds}"


def _frames_of(session: Session) -> str:
    found = [template.origin for template in session.templates.values()]
    parts = [f"{found.count(origin)} templates {origin}" for origin in dict.fromkeys(found)]
    if session.missing_templates:
        parts.append(f"{len(session.missing_templates)} missing and named")
    return ", ".join(parts) or "not in the file"


def _report_of(session: Session) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            store = prepare([session], Path(folder) / "store", configuration=STORE)
        except NwbMivaeError as error:
            return f"refused: {error.found}"
        (stored,) = store.sessions.values()
        return f"prepared, {len(stored.report['guesses'])} guesses told"


def _as_markdown(title: str, table: Mapping[str, Row], columns: Sequence[str]) -> str:
    lines = [f"| {title} | {' | '.join(columns)} |", f"| {' | '.join(['---'] * (len(columns) + 1))} |"]
    for name, row in table.items():
        cells = [row[column].replace("|", "\\|") for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _as_text(table: Mapping[str, Row], columns: Sequence[str]) -> str:
    blocks = []
    for name, row in table.items():
        width = max(map(len, columns))
        blocks.append("\n".join([name, *(f"  {column:<{width}}  {row[column]}" for column in columns)]))
    return "\n".join(blocks)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write both tables as JSON")
    parser.add_argument("--markdown", action="store_true", help="print tables of Markdown")
    parser.add_argument("--oddities", action="store_true", help="every variant of every layout")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    layouts = layouts_table(oddities=asked.oddities)
    real: dict[str, dict[str, str]] = {}
    default = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "real"
    folder = Path(os.environ.get("NWB_MIVAE_REAL_DATA", default))
    if (folder / "PROVENANCE.md").is_file():
        with tempfile.TemporaryDirectory() as scratch:
            real = real_table(real_files(folder, Path(scratch)))
    for title, table, columns in (("layout", layouts, tuple(CHECKS)), ("file", real, REAL_COLUMNS)):
        if table:
            print(_as_markdown(title, table, columns) if asked.markdown else _as_text(table, columns), end="\n\n")
    if asked.out is not None:
        asked.out.write_text(json.dumps({"layouts": layouts, "real": real}, indent=2) + "\n", encoding="utf-8")
    wrong = [name for name, row in layouts.items() if any(text.startswith("WRONG") for text in row.values())]
    print(f"{len(layouts) - len(wrong)} of {len(layouts)} layouts as their truth says", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
