"""``nwb-mivae annotate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import RunArgument, SessionsOption, StoreOption
from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal, typed

__all__ = ["annotate"]


def annotate(
    run: RunArgument,
    session: SessionsOption = None,
    store: StoreOption = None,
    source_folder: Annotated[
        Path | None,
        typer.Option("--source-folder", metavar="FOLDER", help="Where the NWB files lie now, where they were moved."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the copies. [default: RUN/annotated]"),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the results into copies of NWB files.

    The originals are never changed. A copy holds all of its source and, beside it, the latents on the session's clock,
    the attribution where `attribute` has run, and which model they came from. It can be read with and without the
    ndx-mivae package.

    \b
    Examples:
        nwb-mivae annotate run
        nwb-mivae annotate run --session sub-5_ses-1 --out for-the-archive
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        written, refused = pipeline.annotate(
            run, store=store, sessions=session, source_folder=source_folder, out=out, progress=terminal.progress
        )
        lines = [str(path) for path in written] + [f"REFUSED {problem}" for problem in refused]
        terminal.result(
            {"annotated": [str(path) for path in written], "refused": [problem.as_dict() for problem in refused]},
            "\n".join([*lines, f"Next: nwb-mivae report {typed(run)}"]),
            exit_code=REFUSED if refused else 0,
        )
