"""Where a result came from: version, command, time, machine and the versions of what did the work."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["package_version", "provenance_record"]

_WORKING_PACKAGES = ("torch", "numpy", "scipy", "pynwb", "hdmf", "dandi", "spikeinterface", "ndx-mivae")


def package_version() -> str:
    """The installed version of nwb_mivae."""
    try:
        return version("nwb-mivae")
    except PackageNotFoundError:
        return "0+not.installed"


def provenance_record(**more: Any) -> dict[str, Any]:
    """A JSON-able record of this process, with anything a caller adds (configuration, data hashes, seed)."""
    versions: dict[str, str] = {}
    for name in _WORKING_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "nwb_mivae": package_version(),
        "command": [_command_name(sys.argv[0]), *sys.argv[1:]] if sys.argv else [],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        **more,
    }


def _command_name(program: str) -> str:
    return program.replace("\\", "/").rsplit("/", 1)[-1]
