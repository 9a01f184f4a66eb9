"""The program ``nwb-mivae``: its commands in the order of the work."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from nwb_mivae.cli.annotate import annotate
from nwb_mivae.cli.attribute import attribute
from nwb_mivae.cli.check import check
from nwb_mivae.cli.demo import demo
from nwb_mivae.cli.download import download
from nwb_mivae.cli.evaluate import evaluate
from nwb_mivae.cli.find import find
from nwb_mivae.cli.inspect import inspect
from nwb_mivae.cli.prepare import prepare
from nwb_mivae.cli.publish import publish
from nwb_mivae.cli.report import report
from nwb_mivae.cli.simulate import simulate
from nwb_mivae.cli.terminal import WRONG_USAGE
from nwb_mivae.cli.train import train

__all__ = ["application", "main"]

application = typer.Typer(
    name="nwb-mivae",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    simulate,
    find,
    download,
    inspect,
    prepare,
    train,
    evaluate,
    attribute,
    annotate,
    check,
    publish,
    report,
    demo,
):
    application.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from nwb_mivae.provenance import package_version

        typer.echo(package_version())
        raise typer.Exit


@application.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Put the neural activity of many animals, and what they saw, into one latent space.

    From NWB files of recordings during visual stimulation to annotated NWB files. See everything at work on simulated
    animals with:

        nwb-mivae demo

    The way of your own data, each command reading what the one before wrote:

    \b
        nwb-mivae find DANDISET                   which recordings does a dandiset of DANDI have?
        nwb-mivae download DANDISET --out FOLDER  fetch them, checked and resumable; or read them in place, as
                                                  dandi://DANDISET[@VERSION]/PATH in place of a file
        nwb-mivae inspect RECORDINGS              what is in these NWB files, and can it be used?
        nwb-mivae prepare RECORDINGS --out STORE  neural activity and stimuli on one clock
        nwb-mivae train STORE --out RUN           the model; keep an animal out with --held-out
        nwb-mivae evaluate RUN                    does it work on the animal it never saw?
        nwb-mivae attribute RUN                   which neurons and which pixels?
        nwb-mivae annotate RUN                    the results in copies of the NWB files
        nwb-mivae check RUN                       would DANDI take these files, and if not, why?
        nwb-mivae publish RUN --dandiset DANDISET
                                                  the annotated files in the draft of a dandiset
        nwb-mivae report RUN                      all of it in one HTML page

    Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 refused (the message says why and what to do), 130 interrupted.
    """


def main() -> None:
    """Run the program; the entry point of the installed script."""
    # Threads that wait for each other while spinning make training five times slower and more wherever another
    # program wants the same cores. OpenMP reads this when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        application()
    except SystemExit as end:
        # Usage errors are found before a command can take --json into account.
        if end.code == WRONG_USAGE and "--json" in sys.argv:
            remedy = "see the message on standard error, and --help"
            print(json.dumps({"error": "WrongUsage", "found": "arguments that do not fit", "remedy": remedy}))
        raise
