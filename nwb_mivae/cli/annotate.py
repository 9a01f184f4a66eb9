"""``nwb-mivae annotate``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import RunArgument, SessionsOption, StoreOption
from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal, typed

__all__ = ["annotate"]


class Form(StrEnum):
    """What kind of file results are written into."""

    COPY = "copy"
    APPEND = "append"
    COMPANION = "companion"


class Format(StrEnum):
    """Storage format of files that are made."""

    HDF5 = "hdf5"
    ZARR = "zarr"


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
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the outputs. [default: RUN/annotated]"),
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--form",
            help="copy: the recording with the results. companion: a light file with the results and what they refer "
            "to. append: into the recording itself, which this changes. "
            "[default: companion for recordings over 2 GB or on a server, else copy]",
        ),
    ] = None,
    storage: Annotated[Format, typer.Option("--format", help="Zarr needs nwb_mivae[zarr].")] = Format.HDF5,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Of the results in the files. [default: mivae, then mivae_2, mivae_3, ...]"
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the results into NWB files.

    Latents on the session's clock and each cell's fingerprint, attribution and subpopulations where `attribute` has
    run, figures with their controls where `evaluate` has, and which model all of it came from. The originals are never
    changed, but by --form append. What is written can be read with and without the ndx-mivae package.

    An output that was written before is replaced by the same one only (recording, form, name and model), and only while
    it is as it was written; anything else stays, and the new output gets the next free name beside it.

    \b
    Examples:
        nwb-mivae annotate run
        nwb-mivae annotate run --session sub-5_ses-1 --form companion --out for-the-archive
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        written, refused = pipeline.annotate(
            run,
            store=store,
            sessions=session,
            source_folder=source_folder,
            out=out,
            form=None if form is None else form.value,
            backend=storage.value,
            name=name,
            progress=terminal.progress,
            note=terminal.note,
        )
        lines = [str(path) for path in written] + [f"REFUSED {problem}" for problem in refused]
        if written:
            made = written if form is Form.APPEND else [out or run]
            checked = " ".join(typed(path) for path in made)
            lines.append(f"Next: nwb-mivae check {checked}, or nwb-mivae report {typed(run)}")
        terminal.result(
            {"annotated": [str(path) for path in written], "refused": [problem.as_dict() for problem in refused]},
            "\n".join(lines),
            exit_code=REFUSED if refused else 0,
        )
