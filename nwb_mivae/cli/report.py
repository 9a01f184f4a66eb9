"""``nwb-mivae report``."""

from __future__ import annotations

from nwb_mivae.cli.options import RunArgument, StoreOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal

__all__ = ["report"]


def report(
    run: RunArgument, store: StoreOption = None, as_json: JsonOption = False, quiet: QuietOption = False
) -> None:
    """Write one HTML page about a run.

    What was done, whether it works, and what to doubt. The page holds its figures inside and can be sent as it is.
    What has not been computed yet is named, with the command that computes it.

    \b
    Example:
        nwb-mivae report run
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        path = pipeline.report(run, store=store)
        terminal.result({"report": str(path)}, str(path))
