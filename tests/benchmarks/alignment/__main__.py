"""Are unseen animals aligned: `python -m tests.benchmarks.alignment --scale small --seeds 0 1 2 --out figures`.

Every design is trained with every seed on the same simulated animals and judged on animals that gave no gradient,
beside the ideal observer and its controls. Results are JSON files in the output folder; one that is there, of the same
settings, data and code, is not made again. `--page docs/benchmarks/alignment.md` writes the page from what the folder
holds, with or without making more (`--designs` without a name makes none).

A model of scale small takes minutes to half an hour of one core; scale full is for a graphics card.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nwb_mivae.outputs import read_json, write_json
from nwb_mivae.provenance import provenance_record
from tests.benchmarks.alignment.code import JUDGING, code_digest
from tests.benchmarks.alignment.designs import DESIGNS, JUDGED
from tests.benchmarks.alignment.page import write_page
from tests.benchmarks.alignment.protocol import Settings, clips_in, judge, latents_path, likeness_of_runs
from tests.benchmarks.alignment.scales import SCALES, Material, material
from tests.benchmarks.alignment.scaling import CURVES, point, settings_of_point

_BASELINES = "tests.benchmarks.alignment.baselines"
_BASELINES_CODE = ("nwb_mivae/clips", "nwb_mivae/evaluation", "tests/benchmarks/alignment/baselines")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    scale = SCALES[given.scale]
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    if given.designs or given.scaling or given.baselines:
        prepared = material(scale, given.data or out / "data" / scale.name, processes=given.processes)
        for design in given.designs:
            _designs(prepared, design, given.seeds, out, given.steps)
        if given.baselines:
            _baselines(prepared, given.seeds, out, given.cebra)
        if given.scaling:
            _scaling(prepared, given.scaling_design, given.seeds, out, given.steps)
    if given.page is not None:
        write_page(out, given.page, scale.name)


def _designs(prepared: Material, design: str, seeds: list[int], out: Path, steps: int | None) -> None:
    runs = []
    for seed in seeds:
        settings = Settings(prepared, design, seed, steps=steps)
        path = out / f"{prepared.scale.name}-{design}-{seed}.json"
        _unless_there(path, settings, prepared, lambda settings=settings: judge(prepared, settings, out))
        runs.append(latents_path(out, settings))
    if len(runs) > 1:
        found = likeness_of_runs(runs, prepared.split.held_out_sessions)
        write_json(out / f"{prepared.scale.name}-{design}-likeness.json", found)


def _scaling(prepared: Material, design: str, seeds: list[int], out: Path, steps: int | None) -> None:
    for curve in CURVES:
        for animals in prepared.scale.scaling_animals:
            for seed in seeds:
                settings = settings_of_point(prepared, design, seed, curve, animals, steps=steps)
                path = out / f"{prepared.scale.name}-scaling-{design}-{curve}-{animals}-{seed}.json"
                _unless_there(path, settings, prepared, lambda settings=settings: point(prepared, settings, out))


def _unless_there(path: Path, settings: Settings, prepared: Material, make: Callable[[], dict[str, Any]]) -> None:
    if path.exists():
        known = read_json(path)
        same = (settings.as_dict(), code_digest(JUDGING), prepared.digest)
        if (known["configuration"], known["code"], known["data"]["digest"]) == same:
            print(f"{path.name} is there")
            return
    write_json(path, make())


def _baselines(prepared: Material, seeds: list[int], out: Path, cebra: bool) -> None:
    """Those of ``baselines``, where that part of the benchmark is there. Without CEBRA nothing in them is random."""
    if importlib.util.find_spec(_BASELINES) is None:
        print("No baselines: this benchmark has no module for them.")
        return
    from tests.benchmarks.alignment.baselines import baselines

    scale = prepared.scale
    common = {"clips": scale.test_clips, "n_frames": scale.clip_frames}
    whole = [
        (f"{scale.name}-baselines-{seed}", {"seed": seed, "cebra": cebra}) for seed in (seeds if cebra else seeds[:1])
    ]
    # As much of each animal as the models are given on the curve over minutes.
    parts = [
        (f"{scale.name}-minutes-{minutes:g}", {"context_clips": clips_in(prepared, minutes)})
        for minutes in scale.context_minutes
    ]
    for name, particular in whole + parts:
        path = out / f"{name}.json"
        wanted = common | particular
        known = {"configuration": wanted, "code": code_digest(_BASELINES_CODE), "digest": prepared.digest}
        if path.exists() and {name: read_json(path).get(name) for name in known} == known:
            print(f"{path.name} is there")
            continue
        found = baselines(prepared.store, prepared.split, **wanted)
        write_json(path, {**known, "baselines": found, "provenance": provenance_record()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.alignment", description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=list(SCALES), default="small")
    parser.add_argument("--designs", nargs="*", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of training; the animals stay")
    parser.add_argument("--out", type=Path, required=True, help="folder of results, runs and latents")
    parser.add_argument("--data", type=Path, help="folder of animals and store; by default inside the output folder")
    parser.add_argument("--processes", type=int, default=1, help="that simulate animals side by side")
    parser.add_argument("--steps", type=int, help="of training, instead of the scale's")
    parser.add_argument("--baselines", action="store_true", help="measure the baselines that need each animal as well")
    parser.add_argument("--cebra", action="store_true", help="and CEBRA with them (an extra of its own)")
    parser.add_argument("--scaling", action="store_true", help="measure the scaling curve as well")
    parser.add_argument("--scaling-design", choices=list(DESIGNS), default=JUDGED)
    parser.add_argument("--page", type=Path, help="Markdown page to write from all results in the output folder")
    return parser


if __name__ == "__main__":
    main()
