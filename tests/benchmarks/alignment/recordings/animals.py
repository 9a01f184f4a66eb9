"""The eight OpenScope animals as a clip store, and the folds in which each of them is held out once.

What of them is real and what was invented when they were written as NWB is said in :mod:`tests.openscope_sessions`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nwb_mivae.clips import ClipStore, Split, SplitConfiguration, make_split, prepare
from nwb_mivae.outputs import sha256_of_file
from tests.openscope_sessions import write_openscope_sessions

__all__ = ["SOURCE", "Animals", "animals_of", "folds", "split_without"]

#: Inside the folder of real data.
SOURCE = Path("ophys") / "openscope_gabor_trials.json"


@dataclass(frozen=True)
class Animals:
    """The prepared sessions, and the digest of the file of traces they were written from."""

    store: ClipStore
    source_sha256: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every array of the store: equal for equal traces, whenever they were written as NWB.

        That of the store is of the NWB files as well, which have other identifiers each time.
        """
        what = {
            "stimulus": self.store.manifest["stimulus"]["sha256"],
            "sessions": {
                key: {name: file["sha256"] for name, file in sorted(entry["files"].items())}
                for key, entry in sorted(self.store.manifest["sessions"].items())
            },
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def animals_of(source: Path, folder: Path) -> Animals:
    """Write the sessions of ``source`` and a store of them, with default settings, into ``folder``.

    What an earlier call left there is made again.
    """
    recordings = write_openscope_sessions(source, folder / "recordings")
    return Animals(prepare(recordings, folder / "store"), sha256_of_file(source))


def folds(subjects: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Subjects to hold out together, ``size`` at a time in their order; every subject once.

    Raises
    ------
    ValueError
        If nobody would be left to train on.
    """
    if not 0 < size < len(subjects):
        raise ValueError(f"{size} of {len(subjects)} subjects held out at a time: hold out 1 to {len(subjects) - 1}")
    return [tuple(subjects[first : first + size]) for first in range(0, len(subjects), size)]


def split_without(store: ClipStore, held_out: Sequence[str], clip_frames: int) -> Split:
    """The default split with these subjects held out, by presentation: every trial shows the same pictures.

    Parts are whole trials, drawn alike whoever is held out, so that folds and seeds are tested on the same trials.
    """
    configuration = SplitConfiguration(by="presentation", held_out=list(held_out))
    return make_split(store, configuration, n_frames=clip_frames)
