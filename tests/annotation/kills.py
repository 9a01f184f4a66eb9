"""Programs that are killed while they write, and what they leave."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nwb_mivae.annotation import annotation_names, read_annotations

#: What Python says before it opens, renames, removes or protects a file; HDF5's own writing is not among it.
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.truncate", "shutil.copyfile")


def killed_after(work: Callable[[], Any], seconds: float) -> bool:
    """Do ``work`` in a process of its own and kill that after so long; whether it was killed before it was done."""
    process = _forked(work)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def killed_at_event(work: Callable[[], Any], folder: Path, number: int) -> bool:
    """Do ``work`` in a process that kills itself before its ``number``-th operation on a file in ``folder``."""

    def watched() -> None:
        left = number

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in FILE_EVENTS and any(str(folder) in str(argument) for argument in arguments):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()

    process = _forked(watched)
    process.join()
    return process.exitcode == -signal.SIGKILL


def seconds_of(work: Callable[[], Any]) -> float:
    """How long ``work`` takes in a process of its own."""
    start = time.perf_counter()
    process = _forked(work)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the work failed by itself ({process.exitcode})")
    return time.perf_counter() - start


def is_annotated_whole(path: Path, names: list[str]) -> bool:
    """Whether a file holds just these results, and all of them can be read."""
    if annotation_names(path) != names:
        return False
    for name in names:
        read_annotations(path, name)
    return True


def leftovers(folder: Path) -> list[str]:
    """Names of what was not finished."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def _forked(work: Callable[[], Any]) -> Any:
    # Forked, because importing anew would take longer than the work.
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process
