"""Options that several commands share, each with one name and one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ConfigurationOption",
    "GlobOption",
    "InstanceOption",
    "ModalityOption",
    "RecordingsArgument",
    "RunArgument",
    "SeedOption",
    "SessionsOption",
    "SettingsOption",
    "StimulusFolderOption",
    "StoreOption",
    "SubjectOption",
    "VersionOption",
]

RecordingsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RECORDINGS", help="NWB files, folders of them, or addresses dandi://DANDISET[@VERSION][/PATH OR GLOB]."
    ),
]
GlobOption = Annotated[
    str | None, typer.Option("--glob", metavar="PATTERN", help="Only paths like this. [default: *.nwb]")
]
SubjectOption = Annotated[str | None, typer.Option("--subject", metavar="ID", help="Only this animal.")]
ModalityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--modality",
        metavar="KIND",
        help="Only with this: behavior, ecephys, icephys, image, ogen or ophys; several must all be there.",
    ),
]
VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="Of the dandiset. [default: the latest published]")
]
InstanceOption = Annotated[
    str | None,
    typer.Option("--instance", metavar="NAME OR URL", help="The archive. [default: DANDI_INSTANCE, or dandi]"),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `nwb-mivae train` wrote.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="STORE", help="The clip store, where it no longer lies where training found it."),
]
SessionsOption = Annotated[
    list[str] | None,
    typer.Option("--session", metavar="KEY", help="Only this session; may be repeated. [default: all]"),
]
ConfigurationOption = Annotated[
    Path | None, typer.Option("--config", metavar="YAML", help="Settings, one key per step of the work.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="One setting, for example training.learning_rate=0.001; may be repeated."
    ),
]
StimulusFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--stimulus-folder", metavar="FOLDER", help="Where movies lie that the NWB files name but do not hold."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Everything random follows from this number.")]
