"""``nwb-mivae simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import SeedOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, typed

__all__ = ["simulate"]


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the files.")],
    animals: Annotated[int, typer.Option(min=1, help="How many animals, one recording each.")] = 5,
    minutes: Annotated[float, typer.Option(min=0.01, help="Length of each recording.")] = 6.0,
    seed: SeedOption = 0,
    jitter: Annotated[
        float, typer.Option(min=0, help="Standard deviation of display onsets around their clock, in seconds.")
    ] = 0.0,
    dropped_frames: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of movie frames that are never shown.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace animals that are already there.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make NWB files of simulated animals whose truth is known.

    Each animal is a mouse's visual cortex (V1) under the microscope while natural movies are shown: calcium traces,
    cell positions, running, and the movies, laid out as in published recordings. What really drove each cell goes
    into a separate file beside the NWB file, so that results can be checked against it.

    \b
    Example:
        nwb-mivae simulate recordings --animals 5 --minutes 6 --seed 0
    """
    with Terminal(
        as_json=as_json, quiet=quiet, after_interruption="Run the same command with --overwrite to start again."
    ) as terminal:
        from nwb_mivae import pipeline
        from nwb_mivae.simulation import SimulationConfiguration

        values = {
            "animals": animals,
            "minutes": minutes,
            "seed": seed,
            "display_jitter": jitter,
            "dropped_frames": dropped_frames,
        }
        made = pipeline.simulate(
            out, SimulationConfiguration.from_mapping(values), overwrite=overwrite, progress=terminal.progress
        )
        files = [{"subject": each.subject, "nwb": str(each.nwb), "truth": str(each.truth)} for each in made]
        terminal.result(
            {"animals": files},
            f"{len(made)} animals in {out}. Next: nwb-mivae inspect {typed(out)}",
        )
