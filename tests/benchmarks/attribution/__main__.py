"""Does attribution find what was planted: `python -m tests.benchmarks.attribution --seeds 0 1 2 --out FOLDER`.

A default model is trained with every seed on the same simulated animals, in which visual cells, subpopulations and the
part of the screen that cells look at are known, and every method of attribution is judged on animals that gave no
gradient, beside its controls. Results are JSON files in the output folder; one that is there, of the same settings,
data and code, is not made again. `--page docs/benchmarks/attribution.md` writes the page from what the folder holds,
with `cost.json` of `tests.benchmarks.attribution.cost` if it is there; `--seeds` without a number makes no result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nwb_mivae.outputs import read_json, write_json
from tests.benchmarks.alignment.code import code_digest
from tests.benchmarks.alignment.scales import material
from tests.benchmarks.attribution.page import write_page
from tests.benchmarks.attribution.protocol import JUDGING, configuration_of, judge
from tests.benchmarks.attribution.scales import SCALES


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    scale = SCALES[given.scale]
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    if given.seeds:
        prepared = material(scale, given.data or out / "data" / scale.name, processes=given.processes)
        for seed in given.seeds:
            path = out / f"{scale.name}-{seed}.json"
            wanted = (configuration_of(scale, seed), code_digest(JUDGING), prepared.digest)
            if path.exists():
                known = read_json(path)
                if (known["configuration"], known["code"], known["data"]["digest"]) == wanted:
                    print(f"{path.name} is there")
                    continue
            write_json(path, judge(prepared, scale, seed, out))
    if given.page is not None:
        write_page(out, given.page, scale.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attribution", description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=list(SCALES), default="small")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of training; the animals stay")
    parser.add_argument("--out", type=Path, required=True, help="folder of results and runs")
    parser.add_argument("--data", type=Path, help="folder of animals and store; by default inside the output folder")
    parser.add_argument("--processes", type=int, default=1, help="that simulate animals side by side")
    parser.add_argument("--page", type=Path, help="Markdown page to write from all results in the output folder")
    return parser


if __name__ == "__main__":
    main()
