"""A session larger than memory should be: `python -m tests.benchmarks.reading.large --gigabytes 20 --out figures.json`.

The file holds 8,000 ROIs with a mask image each, traces sampled at 30 Hz for as long as the size asks for, and a movie
shown over and over, one row per frame. It is sparse: most of it was never written and reads as zeros, so that it takes
little room on the disk while every byte still goes through HDF5. Every thousandth sample holds its own time, and some
frames of the prepared store are compared with what they must be. Time, peak memory and room on the disk are of one
`prepare`, in a process of its own that has imported what it needs.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.benchmarks.measuring import Measured, in_child, measured, report

RATE = 30.0
MASK = 256
MARKED = 1000
MOVIE_FRAMES = 900
FIRST_FRAME = 10.0


def write_session(path: Path, n_bytes: int, rois: int, *, chunk: int | None) -> int:
    """Write the file; the number of samples."""
    from tests.nwb_files import add_movie, add_plane, add_table, add_traces, new_file, pixels_of, write

    samples = max(3 * MARKED, (n_bytes - rois * MASK**2) // (4 * rois))
    nwbfile = new_file()
    table = add_plane(nwbfile, rois, masks=[np.zeros((2, 2), dtype=np.uint8)] * rois, mask_kind="image_mask")
    add_traces(nwbfile, table, np.zeros((2, rois), dtype=np.float32), timestamps=np.arange(2.0))
    add_movie(nwbfile, "movie", pixels_of(MOVIE_FRAMES, 36, 64))
    frames = int((samples / RATE - 2 * FIRST_FRAME) * RATE)
    start = FIRST_FRAME + np.arange(frames) / RATE
    add_table(
        nwbfile,
        "movie_presentations",
        start_time=start,
        stop_time=start + 1 / RATE,
        stimulus_name=["movie"] * frames,
        frame=np.arange(frames) % MOVIE_FRAMES,
    )
    write(nwbfile, path)
    with h5py.File(path, "r+") as file:
        series = file["processing/ophys/DfOverF/RoiResponseSeries"]
        data = _sparse(series, "data", (samples, rois), np.float32, chunk)
        for first in range(0, samples, MARKED):
            data[first] = first / RATE
        _sparse(series, "timestamps", (samples,), np.float64, None)[:] = np.arange(samples) / RATE
        masks = _sparse(
            file["processing/ophys/ImageSegmentation/rois_of_plane"], "image_mask", (rois, MASK, MASK), np.uint8, None
        )
        for roi in range(rois):
            masks[roi, roi // 100 % MASK, roi % 100] = 1
    return int(samples)


def _sparse(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: type, chunk: int | None) -> h5py.Dataset:
    """A dataset in place of another; nothing is written, but a dataset without chunks has its room in the file."""
    attributes = dict(group[name].attrs)
    del group[name]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk is not None:
        settings.set_chunk((chunk, *shape[1:]))
    else:
        settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, settings)
    for key, value in attributes.items():
        group[name].attrs[key] = value
    return group[name]


def read_with_h5py(path: Path) -> Measured:
    """Read the traces and the masks as they lie in the file, 64 MiB at a time."""

    def read() -> int:
        n_bytes = 0
        with h5py.File(path) as file:
            for name in (
                "processing/ophys/DfOverF/RoiResponseSeries/data",
                "processing/ophys/ImageSegmentation/rois_of_plane/image_mask",
            ):
                stored = file[name]
                step = max(1, (1 << 26) // (stored.nbytes // len(stored)))
                for first in range(0, len(stored), step):
                    n_bytes += stored[first : first + step].nbytes
        return n_bytes

    return measured(read)


def prepare_with_us(path: Path, store: Path) -> Measured:
    import pynwb  # noqa: F401  (the import is not what is measured)

    from nwb_mivae.clips import prepare

    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.5):
            most = max(most, room_of(store))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        figures = measured(lambda: prepare([path], store).digest)
    finally:
        done.set()
        watcher.join()
    return Measured(**{**vars(figures), "result": max(most, room_of(store))})


def room_of(folder: Path) -> int:
    """Bytes that the files of the folder take on the disk."""
    room = 0
    for path in folder.rglob("*"):
        try:
            room += 512 * path.stat().st_blocks
        except FileNotFoundError:
            # Renamed since.
            continue
    return room


def wrong_values(store: Path, lag: float) -> tuple[int, int]:
    """Frames that do not hold the mean of the straight lines between samples, and frames compared."""
    from nwb_mivae.clips import ClipStore

    (session,) = ClipStore.open(store).sessions.values()
    wrong = compared = 0
    for frame in range(0, session.n_frames, max(1, session.n_frames // 20000)):
        a, b = session.time[frame] + lag, session.stop_time[frame] + lag
        first = int(np.floor(a * RATE)) - 1
        samples = np.arange(first, first + 5)
        values = np.where(samples % MARKED == 0, samples / RATE, 0.0)
        corners = np.r_[a, (samples / RATE)[(samples / RATE > a) & (samples / RATE < b)], b]
        expected = np.trapezoid(np.interp(corners, samples / RATE, values), corners) / (b - a)
        found = session.neural[frame].astype(np.float64)
        compared += 1
        wrong += bool(np.abs(found - expected).max() > 1e-3 * max(1.0, expected))
    return wrong, compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--rois", type=int, default=8000)
    parser.add_argument("--chunk", type=int, help="samples of a storage chunk; without, the traces lie in one piece")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "large.nwb"
        samples = in_child(write_large, path, arguments.gigabytes, arguments.rois, arguments.chunk)
        theirs = in_child(read_with_h5py, path)
        ours = in_child(prepare_with_us, path, folder / "store")
        wrong, compared = in_child(wrong_values, folder / "store", 0.2)
        figures: dict[str, Any] = {
            "file_bytes": path.stat().st_size,
            "file_bytes_on_disk": room_of(folder) - room_of(folder / "store"),
            "rois": arguments.rois,
            "samples": samples,
            "h5py_bytes": theirs.result,
            "h5py_seconds": round(theirs.seconds, 1),
            "prepare_seconds": round(ours.seconds, 1),
            "prepare_processor_seconds": round(ours.processor_seconds, 1),
            "before_mebibytes": round(ours.before_mebibytes),
            "peak_mebibytes": round(ours.peak_mebibytes),
            "mebibytes_above_imports": round(ours.peak_mebibytes - ours.before_mebibytes),
            "most_bytes_on_disk": ours.result,
            "store_bytes_on_disk": room_of(folder / "store"),
            "frames_compared": compared,
            "frames_wrong": wrong,
        }
        report(figures, arguments.out)


def write_large(path: Path, gigabytes: float, rois: int, chunk: int | None) -> int:
    return write_session(path, int(gigabytes * 1e9), rois, chunk=chunk)


if __name__ == "__main__":
    main()
