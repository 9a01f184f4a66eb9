"""``nwb-mivae check``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nwb_mivae.archive import ExplainedFinding
    from nwb_mivae.pipeline import CheckedFile

__all__ = ["check"]

_SHOWN_OBJECTS, _SHOWN_LETTERS = 3, 200


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS", help="NWB files, folders of them, or a run, whose annotated files are checked."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="FOLDER",
            help="Saved model whose results the files should hold. [default: that of the run, where one is given]",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what would keep NWB files out of DANDI, in plain words. Nothing is written or sent.

    Each file is checked on its own with what the archive uses: pynwb's validator, NWB Inspector with DANDI's
    configuration and the archive's rules for names and metadata. For every finding: what it means, whether it comes
    from the recording or was written by nwb_mivae, whether it blocks an upload, and what to do. It needs
    no network.

    \b
    Examples:
        nwb-mivae check run
        nwb-mivae check recordings/ --json > findings.json
        nwb-mivae check sub-1_ses-1_desc-mivae_ophys.nwb --model run/model

    Exit code 0 means that nothing blocks an upload, 3 that something does.
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae import pipeline

        checked = pipeline.check(paths, model=model, progress=terminal.progress)
        blocked = sum(file.blocks_upload for file in checked)
        terminal.result(
            {
                "files": [file.as_dict() for file in checked],
                "counts": {
                    "files": len(checked),
                    "blocked": blocked,
                    **_count([finding for file in checked for finding in file.findings]),
                },
            },
            "\n".join([line for file in checked for line in _lines_of(file)] + [_summary(checked, blocked)]),
            exit_code=REFUSED if blocked else 0,
        )


def _lines_of(file: CheckedFile) -> Iterator[str]:
    yield str(file.path)
    if not file.findings:
        yield "  nothing to say"
    for finding in file.findings:
        yield f"  {finding.severity.upper():<8} {finding.sentence}"
        yield f"           {finding.check}{_where(finding)}"
        yield f"           {shorten(finding.messages[0], _SHOWN_LETTERS, placeholder=' ...')}"
    yield ""


def _where(finding: ExplainedFinding) -> str:
    times = f", {finding.count} times" if finding.count > 1 else ""
    shown, more = finding.object_paths[:_SHOWN_OBJECTS], len(finding.object_paths) - _SHOWN_OBJECTS
    places = f", at {', '.join(shown)}" if shown else ""
    return times + places + (f" and {more} more" if more > 0 else "")


def _count(findings: Sequence[ExplainedFinding]) -> dict[str, int]:
    """How many findings of each severity, worst first."""
    from nwb_mivae.archive import SEVERITIES

    counts: Counter[str] = Counter()
    for finding in findings:
        counts[finding.severity] += finding.count
    return {severity: counts[severity] for severity in SEVERITIES if counts[severity]}


def _summary(checked: Sequence[CheckedFile], blocked: int) -> str:
    counts = _count([finding for file in checked for finding in file.findings])
    found = ", ".join(f"{count} of severity {severity}" for severity, count in counts.items()) or "no findings"
    files = "1 file" if len(checked) == 1 else f"{len(checked)} files"
    fate = f"{blocked} blocked" if blocked else "nothing blocks an upload"
    return f"{files}, {fate}: {found}"
