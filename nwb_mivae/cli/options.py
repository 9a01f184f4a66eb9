"""Options that several commands share, each with one name and one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "ConfigurationOption",
    "RunArgument",
    "SeedOption",
    "SessionsOption",
    "SettingsOption",
    "StimulusFolderOption",
    "StoreOption",
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
