"""``nwb-mivae inspect``."""

from __future__ import annotations

import typer

from nwb_mivae.cli.description import print_description
from nwb_mivae.cli.options import RecordingsArgument, StimulusFolderOption
from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal, printable

__all__ = ["inspect"]


def inspect(
    recordings: RecordingsArgument,
    stimulus_folder: StimulusFolderOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what NWB files hold, and what of it can be used. Nothing is written.

    For every file: the neural activity (what kind, how many cells, how fast), the stimuli shown and whether their
    frames are there, running and pupil, and what had to be guessed or left out. A file that cannot be read is
    refused with the reason.

    \b
    Examples:
        nwb-mivae inspect recording.nwb
        nwb-mivae inspect recordings/ --stimulus-folder movies/
        nwb-mivae inspect recordings/ --json > what-is-there.json
        nwb-mivae inspect 'dandi://000402/sub-17797/*_ses-9-scan-4_*.nwb'
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        described, refused = pipeline.inspect(recordings, stimulus_folder=stimulus_folder, progress=terminal.progress)

        def show() -> None:
            for each in described:
                print_description(each)
            for problem in refused:
                typer.echo(f"nwb-mivae: {printable(str(problem))}", err=True)

        terminal.result(
            {"sessions": described, "refused": [problem.as_dict() for problem in refused]},
            show,
            exit_code=REFUSED if refused else 0,
        )
