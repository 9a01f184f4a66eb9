"""Where files that were written lie: in a run, or anywhere below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from nwb_mivae.archive import is_zarr
from nwb_mivae.run import Run

__all__ = ["is_run", "search_nwb"]


def is_run(path: Path) -> bool:
    """Whether this is the folder of a run."""
    return Run.at(path).provenance.is_file()


def search_nwb(folder: Path) -> list[Path]:
    """NWB files and Zarr folders below a folder, in order of path; none where there is no folder.

    Left out is what is hidden, such as an output that is being written, and what lies behind links to other folders.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        shown = [Path(place, name) for name in folders if not name.startswith(".")]
        zarr = [path for path in shown if is_zarr(path)]
        # A Zarr folder is one file, and has a file for every chunk of it.
        folders[:] = [path.name for path in shown if path not in zarr]
        found += zarr
        found += [Path(place, name) for name in files if name.endswith(".nwb") and not name.startswith(".")]
    return sorted(found)
