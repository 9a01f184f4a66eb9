"""``nwb-mivae download``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nwb_mivae.cli.options import GlobOption, InstanceOption, ModalityOption, SubjectOption, VersionOption
from nwb_mivae.cli.terminal import JsonOption, QuietOption, Terminal, human_bytes, typed

__all__ = ["download"]


def download(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS...",
            help="Dandisets (six digits), addresses dandi://DANDISET[@VERSION][/PATH OR GLOB], or lock files.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the recordings.")],
    glob: GlobOption = None,
    subject: SubjectOption = None,
    modality: ModalityOption = None,
    version: VersionOption = None,
    instance: InstanceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be downloaded.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fetch recordings from DANDI, checked by digest.

    What is there already is left alone, and an interrupted download goes on where it stopped. Beside the files,
    nwb-mivae.lock.json says which version and which bytes they are; from it, another folder gets the same.

    \b
    Examples:
        nwb-mivae download 000728 --modality image --glob '*StimB*' --out recordings --dry-run
        nwb-mivae download 'dandi://000728@0.240827.1809/*_behavior+image+ophys.nwb' --out recordings
        nwb-mivae download recordings/nwb-mivae.lock.json --out the-same-again
    """
    with Terminal(
        as_json=as_json,
        quiet=quiet,
        after_interruption="Run the same command again: what has arrived is kept.",
        of_bytes=True,
    ) as terminal:
        from nwb_mivae.archive import download_assets, find_wanted, plan_download

        assets = find_wanted(
            wanted, pattern=glob, subject=subject, modalities=modality or (), version=version, instance=instance
        )
        plan = plan_download(assets, out)
        files = "file" if len(plan.targets) == 1 else "files"
        to_do = (
            f"{len(plan.missing)} of {len(plan.targets)} {files} to download, {human_bytes(plan.missing_bytes)} of "
            f"{human_bytes(plan.total_bytes)}, into {out} (its disk has {human_bytes(plan.free_bytes)} free)"
        )
        values = {
            "folder": str(out),
            "files": [
                {
                    "file": str(target),
                    "asset": asset.pinned_address,
                    "size": asset.size,
                    "missing": asset.path in plan.missing,
                }
                for asset, target in plan.targets
            ],
            "total_bytes": plan.total_bytes,
            "missing_bytes": plan.missing_bytes,
            "free_bytes": plan.free_bytes,
            "downloaded": not dry_run,
        }
        if dry_run:
            lines = [
                f"{target}  {human_bytes(asset.size)}" for asset, target in plan.targets if asset.path in plan.missing
            ]
            terminal.result(values, "\n".join([*lines, to_do]))
            return
        terminal.note(to_do)
        download_assets(assets, out, progress=lambda _, done, total: terminal.progress("downloading", done, total))
        versions = ", ".join(sorted({f"{asset.dandiset}@{asset.version}" for asset in assets}))
        terminal.result(
            values,
            f"{len(plan.targets)} {files} in {out}, checked, of {versions}. Next: nwb-mivae inspect {typed(out)}",
        )
