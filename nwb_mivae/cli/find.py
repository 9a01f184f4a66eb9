"""``nwb-mivae find``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nwb_mivae.cli.options import GlobOption, InstanceOption, ModalityOption, SubjectOption, VersionOption
from nwb_mivae.cli.terminal import REFUSED, JsonOption, QuietOption, Terminal, human_bytes, printable, typed

if TYPE_CHECKING:
    from nwb_mivae.archive import Asset, AssetContents
    from nwb_mivae.errors import NwbMivaeError

__all__ = ["find"]

#: So many addresses are written out in a suggested command.
_ADDRESSES_SHOWN = 3


def find(
    dandiset: Annotated[
        str, typer.Argument(metavar="DANDISET", help="Six digits, or an address dandi://DANDISET[@VERSION][/PATTERN].")
    ],
    glob: GlobOption = None,
    subject: SubjectOption = None,
    modality: ModalityOption = None,
    version: VersionOption = None,
    instance: InstanceOption = None,
    contents: Annotated[
        bool,
        typer.Option("--contents", help="Say of each what the archive knows: animal, session, what was measured."),
    ] = False,
    look: Annotated[
        bool,
        typer.Option("--look", help="Look into each file as `nwb-mivae inspect` does; only little of it is fetched."),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the recordings of a dandiset on DANDI.

    With size, what was recorded and from which animal, before anything is fetched.

    \b
    Examples:
        nwb-mivae find 000728 --modality image --glob '*StimB*'
        nwb-mivae find 000402 --subject 17797 --contents
        nwb-mivae find 000021 --version draft --instance https://api.dandiarchive.org/api
    """
    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        from nwb_mivae.archive import assets_contents, find_wanted, is_address, parse_address

        assets = find_wanted(
            [dandiset], pattern=glob, subject=subject, modalities=modality or (), version=version, instance=instance
        )
        known: dict[str, AssetContents] = {}
        if contents:
            answers = assets_contents(assets, progress=terminal.progress)
            known = {asset.asset_id: answer for asset, answer in zip(assets, answers, strict=True)}
        described: list[dict[str, Any]] = []
        refused: list[NwbMivaeError] = []
        if look:
            from nwb_mivae import pipeline

            described, refused = pipeline.inspect(
                [asset.pinned_address for asset in assets], progress=terminal.progress
            )
        pattern = parse_address(dandiset).path if is_address(dandiset) else None
        following = _next(assets, pattern or glob or "*.nwb", subject, modality or [])

        def show() -> None:
            typer.echo(printable("\n".join(_table(assets, known))))
            if described:
                from nwb_mivae.cli.description import print_description

                typer.echo()
                for each in described:
                    print_description(each)
            for problem in refused:
                typer.echo(f"nwb-mivae: {printable(str(problem))}", err=True)
            typer.echo(printable("\n".join(following)))

        values = {
            "assets": [
                {
                    **asdict(asset),
                    "address": asset.address,
                    "pinned_address": asset.pinned_address,
                    **({"contents": known[asset.asset_id].as_dict()} if contents else {}),
                }
                for asset in assets
            ],
            "total_bytes": sum(asset.size for asset in assets),
            **({"sessions": described, "refused": [problem.as_dict() for problem in refused]} if look else {}),
        }
        terminal.result(values, show, exit_code=REFUSED if refused else 0)


def _table(assets: list[Asset], known: dict[str, AssetContents]) -> list[str]:
    rows = [("path", "size", "modality", "animal")]
    rows += [
        (asset.path, human_bytes(asset.size), "+".join(asset.modalities) or "-", asset.subject or "-")
        for asset in assets
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if known:
        lines = [lines[0]] + [
            text
            for asset, line in zip(assets, lines[1:], strict=True)
            for text in (line, *_in_words(known[asset.asset_id]))
        ]
    total = human_bytes(sum(asset.size for asset in assets))
    versions = " and ".join(sorted({f"{asset.dandiset} version {asset.version}" for asset in assets}))
    return [*lines, f"{len(assets)} {'file' if len(assets) == 1 else 'files'}, {total}, of dandiset {versions}"]


def _in_words(contents: AssetContents) -> list[str]:
    animal = ", ".join(filter(None, (contents.species, contents.sex, contents.age)))
    session = " ".join(filter(None, (contents.session, contents.start and f"from {contents.start}")))
    parts = {
        "animal": animal,
        "session": session,
        "measured": ", ".join(contents.variables),
        "by": ", ".join((*contents.approaches, *contents.techniques)),
    }
    lines = [f"    {name}: {text}" for name, text in parts.items() if text]
    return lines or ["    the archive says nothing more of it"]


def _next(assets: list[Asset], pattern: str, subject: str | None, modalities: list[str]) -> list[str]:
    """Commands that fetch, or use in place, just these assets."""
    from nwb_mivae.archive import Address

    first = assets[0]
    narrowed = subject is not None or bool(modalities)
    if len(assets) <= _ADDRESSES_SHOWN:
        named = " ".join(typed(asset.address) for asset in assets)
    elif not narrowed:
        instance = None if first.instance == "dandi" else first.instance
        named = typed(str(Address(instance, first.dandiset, first.version, pattern)))
    else:
        options = [("--glob", pattern), ("--subject", subject), *(("--modality", each) for each in modalities)]
        options += [("--version", first.version), ("--instance", first.instance if first.instance != "dandi" else None)]
        words = " ".join(f"{name} {typed(value)}" for name, value in options if value)
        return [f"Next: nwb-mivae download {first.dandiset} {words} --out recordings"]
    return [
        f"Next: nwb-mivae download {named} --out recordings",
        f"or, without downloading: nwb-mivae prepare {named} --out store",
    ]
