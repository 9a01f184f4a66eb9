"""How strong should the read-out's ridge be: `python -m tests.benchmarks.penalty --out FOLDER --page PAGE`.

Recordings are those of `python -m tests.benchmarks.defaults`; with its `--data` they are not simulated again. Figures
are JSON files in the output folder; one that is there, of the same settings and code, is not made again.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tests.benchmarks.defaults.kinds import KINDS
from tests.benchmarks.measuring import unless_there
from tests.benchmarks.penalty.measure import figures, settings_of
from tests.benchmarks.penalty.page import write_page


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    for name in given.kinds:
        folder = (given.data or out / "data") / name
        unless_there(out / f"{name}.json", settings_of(name), partial(figures, name, folder))
    if given.page is not None:
        write_page(out, given.page)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.penalty", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--out", type=Path, required=True, help="folder of figures")
    parser.add_argument("--data", type=Path, help="folder of recordings; by default inside the output folder")
    parser.add_argument("--page", type=Path, help="Markdown page to write from all figures in the output folder")
    return parser


if __name__ == "__main__":
    main()
