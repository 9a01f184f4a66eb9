"""Time, memory and exactness of counting spikes: `python -m tests.benchmarks.reading.spikes --spikes 1e8 --units 2000`.

A file with that many spikes is written, opened as a session in a process of its own, and the spikes of every unit are
counted in the frames of a movie at 30 Hz. The counts of a sample of units are compared with counting by hand, frame by
frame, on what h5py reads; many spikes lie exactly on a border of two frames.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from tests.nwb_files import new_file, write

SECONDS = 3600.0
FRAME_RATE = 30.0
UNITS_AT_A_TIME = 64
UNITS_BY_HAND = 5


def frame_borders() -> npt.NDArray[np.float64]:
    return 10.0 + np.arange(int((SECONDS - 20.0) * FRAME_RATE)) / FRAME_RATE


def write_units(path: Path, n_spikes: int, n_units: int, *, compression: str | None) -> None:
    """Units of unequal rates; one spike in a hundred lies on a border of two frames."""
    nwbfile = new_file()
    nwbfile.add_unit_column(name="quality", description="quality")
    for _ in range(n_units):
        nwbfile.add_unit(spike_times=[0.0], quality="good", obs_intervals=[[0.0, SECONDS]])
    write(nwbfile, path)
    random = np.random.default_rng(0)
    ends = np.cumsum(random.multinomial(n_spikes, random.dirichlet(np.full(n_units, 2.0))))
    borders = frame_borders()
    with h5py.File(path, "r+") as file:
        units = file["units"]
        attributes = {name: dict(units[name].attrs) for name in ("spike_times", "spike_times_index")}
        for name in attributes:
            del units[name]
        stored = units.create_dataset("spike_times", (n_spikes,), np.float64, chunks=True, compression=compression)
        units["spike_times_index"] = ends.astype(np.uint64)
        for start, stop in zip(np.r_[0, ends[:-1]], ends, strict=True):
            times = random.uniform(0.0, SECONDS, stop - start)
            times[::100] = random.choice(borders, len(times[::100]))
            stored[start:stop] = np.sort(times)
        for name, values in attributes.items():
            for key, value in values.items():
                units[name].attrs[key] = units["spike_times"].ref if key == "target" else value


def measure(path: Path) -> dict[str, float]:
    """Open, count and compare; the figures."""
    from nwb_mivae.alignment.resampling import counts_in_intervals
    from nwb_mivae.sessions import SpikeTrains, read_session

    borders = frame_borders()
    start, stop = borders[:-1], borders[1:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    with read_session(path) as session:
        trains = session.traces
        assert isinstance(trains, SpikeTrains)
        opened = time.perf_counter()
        counted = 0
        by_hand = np.linspace(0, trains.n_cells - 1, UNITS_BY_HAND).astype(int)
        sample: dict[int, npt.NDArray[np.float32]] = {}
        for first in range(0, trains.n_cells, UNITS_AT_A_TIME):
            cells = np.arange(first, min(first + UNITS_AT_A_TIME, trains.n_cells))
            counts = counts_in_intervals(trains, start, stop, cells)
            counted += int(counts.sum(dtype=np.float64))
            sample |= {int(cell): counts[:, cell - first].copy() for cell in by_hand if cell in cells}
        done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = 0
    with h5py.File(path) as file:
        ends = np.r_[0, file["units/spike_times_index"][:].astype(np.int64)]
        for cell, found in sample.items():
            times = file["units/spike_times"][ends[cell] : ends[cell + 1]]
            inside = times[(times >= start[0]) & (times < stop[-1])]
            truth = np.zeros(len(start), dtype=np.int64)
            for time_of_spike in inside:
                # The last frame that began at or before the spike, found by comparing with each of the nearest ones.
                near = int((time_of_spike - start[0]) * FRAME_RATE)
                frame = next(
                    number
                    for number in range(max(0, near - 2), near + 3)
                    if start[number] <= time_of_spike < stop[number]
                )
                truth[frame] += 1
            wrong += int((truth != found).sum())
        h5py_begin = time.perf_counter()
        stored = file["units/spike_times"]
        for first in range(0, len(stored), 1 << 22):
            stored[first : first + (1 << 22)]
        h5py_seconds = time.perf_counter() - h5py_begin
    return {
        "open_seconds": round(opened - begin, 2),
        "count_seconds": round(done - opened, 2),
        "h5py_seconds": round(h5py_seconds, 2),
        "frames": len(start),
        "counted": counted,
        "peak_mebibytes": round(peak / 1024),
        "before_mebibytes": round(before / 1024),
        "units_compared": len(sample),
        "wrong_counts": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spikes", type=float, default=1e8)
    parser.add_argument("--units", type=int, default=2000)
    parser.add_argument("--gzip", action="store_true", help="compress the spike times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "units.nwb"
        write_units(path, int(arguments.spikes), arguments.units, compression="gzip" if arguments.gzip else None)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            figures = pool.submit(measure, path).result()
        figures = {"spikes": int(arguments.spikes), "units": arguments.units, **figures}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
