"""``nwb-mivae publish``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nwb_mivae.cli.options import InstanceOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, human_bytes

if TYPE_CHECKING:
    from nwb_mivae.pipeline import PublicationPlan

__all__ = ["publish"]


def publish(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCES", help="Annotated files, folders of them, or a run, whose files are taken."),
    ],
    dandiset: Annotated[
        str | None, typer.Option("--dandiset", metavar="DANDISET", help="Six digits of the dandiset to add to.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Make a new dandiset, called by --title.")] = False,
    title: Annotated[str | None, typer.Option("--title", metavar="TITLE", help="Of a new dandiset.")] = None,
    instance: InstanceOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Where the dandiset is laid out. [default: RUN/dandiset, or dandiset-DANDISET here]",
        ),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option("--license", metavar="LICENSE", help="spdx:CC-BY-4.0 or spdx:CC0-1.0, where the draft has none."),
    ] = None,
    contributor: Annotated[
        list[str] | None,
        typer.Option(
            "--contributor",
            metavar="NAME",
            help="Somebody to be named: 'Last, First' or 'Last, First <address@host>'; may be repeated.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace earlier results under the same path; without it they are kept.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent; nothing is written, the archive only read.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send annotated files into the draft of a dandiset.

    Files are checked as DANDI checks them, get DANDI's names from their metadata, are laid out with a dandiset.yaml
    that names the dandisets they come from, and sent. What is there is left alone, so the same command goes on after an
    interruption. Nothing is deleted, and no version is published: that is done on the dandiset's page, once you have
    looked at the draft.

    The archive's API key comes from the environment: DANDI_API_KEY for DANDI, DANDI_SANDBOX_API_KEY for its sandbox,
    DANDI_HOST_PORT_API_KEY for an archive named by its URL.

    \b
    Examples:
        nwb-mivae publish run --dandiset 000999 --dry-run
        nwb-mivae publish run --dandiset 000999
        nwb-mivae publish run --new --title 'Shared latents of dandiset 000728' --license spdx:CC-BY-4.0 \\
            --instance dandi-sandbox
    """
    if new == (dandiset is not None) or new != (title is not None):
        raise typer.BadParameter("name a dandiset with --dandiset, or make one with --new and --title")
    up: list[str] = []
    changes: list[str] = []
    planned: list[PublicationPlan] = []

    def after_interruption() -> str:
        if not planned:
            return "Nothing was sent."
        missing = [file.local.path for file in planned[0].upload.files if file.local.path not in up]
        said = [f"Up: {', '.join(up) or 'nothing'}", f"Not up: {', '.join(missing) or 'nothing'}", *changes]
        return ". ".join([*said, "The same command goes on with what is not up."])

    with Terminal(as_json=as_json, quiet=quiet, after_interruption=after_interruption) as terminal:
        from nwb_mivae import pipeline

        plan = pipeline.plan_publication(
            sources,
            dandiset,
            title=title,
            instance=instance,
            out=out,
            license=license,
            contributors=contributor or (),
            replace=replace,
            to_publish=not dry_run,
            progress=terminal.progress,
        )
        if dry_run:
            terminal.result({**plan.as_dict(), "published": False}, "\n".join([*_lines(plan), "Nothing was sent."]))
            return
        planned.append(plan)
        for note in (*plan.notes, _summary(plan)):
            terminal.note(f"{note[0].upper()}{note[1:]}.")
        terminal.of_bytes = True
        published = pipeline.publish(
            plan,
            progress=lambda _, done, total: terminal.progress("sending", done, total),
            finished=up.append,
            note=changes.append,
        )
        draft = published.plan.upload
        terminal.result(
            {
                **published.plan.as_dict(),
                "published": True,
                "assets": [asset.pinned_address for asset in published.assets],
            },
            "\n".join(
                [
                    *(f"{asset.path}  {asset.asset_id}" for asset in published.assets),
                    f"{len(published.assets)} in the draft of dandiset {draft.dandiset} of {draft.instance}, "
                    f"{len(draft.to_send)} of them sent now. Look at it there, and publish it there.",
                ]
            ),
        )


def _lines(plan: PublicationPlan) -> Iterator[str]:
    upload = plan.upload
    words = {"send": "send", "replace": "REPLACE", "keep": "there already"}
    for planned in upload.files:
        local = planned.local
        yield f"{words[planned.action]}: {local.path}  {human_bytes(local.size)}  {local.digest.as_str()}"
        yield f"    from {local.file}"
    for field, value in upload.additions.items():
        for entry in value if isinstance(value, list) else [value]:
            yield f"description: {field} + {_entry(entry)}"
    for note in plan.notes:
        yield f"note: {note}"
    yield _summary(plan)


def _summary(plan: PublicationPlan) -> str:
    upload = plan.upload
    where = f"dandiset {upload.dandiset}" if upload.dandiset else f"a new dandiset, {plan.title!r},"
    return (
        f"{len(upload.to_send)} of {len(upload.files)} files, {human_bytes(upload.bytes_to_send)}, into the draft of "
        f"{where} of {upload.instance}; laid out in {plan.folder}"
    )


def _entry(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    told = [entry.get("relation"), entry.get("name"), entry.get("identifier"), entry.get("url"), entry.get("email")]
    return " ".join(str(part) for part in told if part)
