"""What benchmarks share: a process of its own for what is measured, and figures with all it takes to repeat them."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwb_mivae.outputs import read_json, write_json
from nwb_mivae.provenance import provenance_record

__all__ = ["Measured", "forget_file", "in_child", "measured", "report", "unless_there"]


@dataclass(frozen=True)
class Measured:
    """Seconds by the clock and of this process, and mebibytes of memory before and at most."""

    seconds: float
    processor_seconds: float
    before_mebibytes: float
    peak_mebibytes: float
    result: Any = None


def unless_there(path: Path, settings: dict[str, Any], make: Callable[[], dict[str, Any]]) -> None:
    """Make figures that hold their settings under ``configuration`` and write them, unless the same are there."""
    if path.exists() and read_json(path)["configuration"] == settings:
        print(f"{path.name} is there")
        return
    write_json(path, make())
    print(f"{path.name} is made", flush=True)


def measured(function: Callable[[], Any]) -> Measured:
    """Call the function and measure it. Peak memory is that of the process so far: use a new one (``in_child``)."""
    before = _peak_mebibytes()
    processor, begin = time.process_time(), time.perf_counter()
    result = function()
    seconds, processor = time.perf_counter() - begin, time.process_time() - processor
    return Measured(seconds, processor, before, _peak_mebibytes(), result)


def _peak_mebibytes() -> float:
    # Not ru_maxrss, which a child takes over from the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) / 1024  # type: ignore[union-attr]


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of the function, called in a process that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def forget_file(path: Path) -> None:
    """Have the system drop what it remembers of the file, so that it is read from the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def report(figures: dict[str, Any], out: Path | None) -> None:
    """Print the figures, and write them with versions, command and machine where they are asked for."""
    figures = {
        **figures,
        "provenance": provenance_record(
            processors=os.cpu_count(), load_average=[round(value, 2) for value in os.getloadavg()]
        ),
    }
    print(json.dumps(figures, indent=2))
    if out is not None:
        write_json(out, figures)
