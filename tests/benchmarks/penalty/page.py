"""The page of read-outs by penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nwb_mivae.outputs import read_json, whole_file
from tests.benchmarks.defaults.kinds import KINDS
from tests.benchmarks.penalty.measure import ABSOLUTE, MULTIPLES

__all__ = ["page", "write_page"]


def write_page(folder: Path, target: Path) -> None:
    """Write the page from the figures in a folder, whole or not at all."""
    text = page([read_json(folder / f"{name}.json") for name in KINDS if (folder / f"{name}.json").exists()])
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        beside.write_text(text, encoding="utf-8")


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of everything that was measured."""
    made = results[0]["provenance"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    codes = sorted({each["configuration"]["code"][:12] for each in results})
    digests = ", ".join(f"`{each['configuration']['kind']['name']}` {each['data']['digest'][:12]}" for each in results)
    parts = [
        "# The read-out's penalty, by kind of recording",
        "What the in-context ridge read-out alone says of validation clips, whose content its context never shows: "
        "top-1 (which of the clips is this, by the cosine of centred features) / R² of the features. Penalties are in "
        "units of the total variance of the inputs, as `model.readout_penalty` is; the last column is the number "
        f"{ABSOLUTE:g} whatever the recording, the default before, with what it is in those units. Nothing is trained. "
        "R² is low throughout: features of single frames are read from noisy single trials, and it is "
        "negative where the penalty is too small for the context.",
        "* **Command**: `python -m tests.benchmarks.penalty --out FOLDER --page PAGE`; the page is generated, not "
        "written.\n"
        "* **Data**: simulated, as in [default settings, by kind of recording](defaults.md); "
        f"mean over {results[0]['configuration']['animals']} animals, one simulation. Digests: {digests}.\n"
        f"* **Machine**: {made['platform']}, CPU, one thread; Python {made['python']}, {packages}.\n"
        f"* **Code**: digest {', '.join(codes)}." + (" **Not all figures are of the same code.**" if codes[1:] else ""),
    ]
    for label in results[0]["contexts"]:
        header = [
            "recording",
            "frames",
            "form",
            "clips",
            "chance",
            *(f"{each:g}" for each in MULTIPLES),
            f"absolute {ABSOLUTE:g}",
        ]
        rows = [_row(each["configuration"]["kind"]["description"], each["contexts"][label]) for each in results]
        lines = [header, ["---"] * len(header), *rows]
        parts += [f"## Context {label}", "\n".join("| " + " | ".join(line) + " |" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _row(description: str, sessions: Sequence[Mapping[str, Any]]) -> list[str]:
    def mean(label: str, figure: str) -> float:
        return float(np.mean([each["penalties"][label][figure] for each in sessions]))

    cells = [f"{mean(label, 'top1'):.2f} / {mean(label, 'r_squared'):.2f}" for label in (*map(str, MULTIPLES),)]
    last = f"{mean('absolute', 'top1'):.2f} / {mean('absolute', 'r_squared'):.2f} ({mean('absolute', 'multiple'):.2g})"
    return [
        description,
        f"{sessions[0]['frames']:,}",
        "primal" if sessions[0]["primal"] else "dual",
        str(sessions[0]["clips"]),
        f"{np.mean([1.0 / each['clips'] for each in sessions]):.3f}",
        *cells,
        last,
    ]
