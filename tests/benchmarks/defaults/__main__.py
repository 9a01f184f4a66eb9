"""Do the defaults work for every kind of recording: `python -m tests.benchmarks.defaults --out FOLDER --page PAGE`.

Each kind is simulated, brought through alignment into a store, trained on and judged on an animal that was held out,
with no setting changed but the number of steps. Figures are JSON files in the output folder; one that is there, of the
same settings and code, is not made again. `--kinds` without a name makes none and writes the page of what is there.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tests.benchmarks.defaults.kinds import KINDS
from tests.benchmarks.defaults.measure import figures, settings_of
from tests.benchmarks.defaults.page import write_page
from tests.benchmarks.measuring import in_child, unless_there

_ENCODERS = ("front_end", "convolutional")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    for name in given.kinds:
        for encoder in given.encoders:
            for seed in given.seeds:
                unless_there(
                    out / f"{name}-{encoder}-{seed}.json",
                    settings_of(KINDS[name], encoder, seed),
                    partial(in_child, figures, name, encoder, seed, (given.data or out / "data") / name),
                )
    if given.page is not None:
        write_page(out, given.page)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.defaults", description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--encoders", nargs="+", choices=_ENCODERS, default=["front_end"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of training; the animals stay")
    parser.add_argument("--out", type=Path, required=True, help="folder of figures")
    parser.add_argument("--data", type=Path, help="folder of recordings; by default inside the output folder")
    parser.add_argument("--page", type=Path, help="Markdown page to write from all figures in the output folder")
    return parser


if __name__ == "__main__":
    main()
