"""``nwb-mivae demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import SeedOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for everything.")] = Path("demo-output"),
    animals: Annotated[int, typer.Option(min=3, help="How many simulated animals; one is held out.")] = 5,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of each recording.")] = 6.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show everything at work in five minutes.

    From nothing to annotated NWB files: simulates animals, trains on all but one, tests on that one with controls,
    traces the results back to neurons and pixels, writes them into copies of the NWB files, validates those, and
    writes a report.

    \b
    Example:
        nwb-mivae demo demo-output
    """
    with Terminal(
        as_json=as_json, quiet=quiet, after_interruption=f"Remove {typed(out)} and run the same command again."
    ) as terminal:
        from nwb_mivae import pipeline
        from nwb_mivae.simulation import SimulationConfiguration

        simulation = SimulationConfiguration.from_mapping({"animals": animals, "minutes": minutes, "seed": seed})
        result = pipeline.demo(out, simulation=simulation, seed=seed, progress=terminal.progress, note=terminal.note)
        terminal.result(result.figures, result.in_words())
