"""How much of a file is fetched when it is prepared from an archive, and how long that takes on a long line.

    python -m tests.benchmarks.reading.streaming

writes sessions whose raw movie lies in the same file, puts them behind the stub archive of the tests, and prepares each
into a clip store: with an empty cache, again with what the first time has left in it, and with 30 ms before every
answer. The target is 1.2 times the bytes of the datasets that are used. Every figure ends with whether it is met.
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time
from pathlib import Path

from nwb_mivae import pipeline
from tests.archive.stub_archive import StubArchive
from tests.benchmarks.reading.recording_with_movie import used_bytes, write_recording_with_movie

USED = (
    "processing/ophys/DfOverF",
    "processing/ophys/ImageSegmentation",
    "stimulus/templates/natural_movie_one",
    "intervals/natural_movie_one_presentations",
    "processing/behavior",
)
#: As pynwb chooses them, all ROIs side by side; and as h5py chooses them, small in both directions.
CHUNKS = {"chunks of 3,495 x 300 (pynwb's choice)": None, "chunks of 563 x 19 (h5py's choice)": (563, 19)}
LATENCY_SECONDS = 0.03
TARGET = 1.2


def measure(file: Path, folder: Path, *, latency: float, label: str, used: int) -> None:
    """Prepare the file from an archive whose answers take ``latency`` seconds, and print what that cost."""
    with (
        StubArchive() as archive,
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as content,
    ):
        archive.add("sub-mouse-1/sub-mouse-1_behavior+image+ophys.nwb", content).stated_digests()
        archive.latency = latency
        os.environ["DANDI_INSTANCE"] = archive.url
        start = time.perf_counter()
        pipeline.prepare(["dandi://000999/sub-mouse-1/*.nwb"], folder / f"store-{time.time_ns()}")
        seconds = time.perf_counter() - start
        blobs = len(archive.downloads())
        print(
            f"  {label}: {archive.bytes_sent / 1e6:.1f} MB fetched = {archive.bytes_sent / used:.3f} x used, "
            f"{blobs} requests for bytes and {len(archive.requests) - blobs} to the API, {seconds:.1f} s"
        )
        print(f"    target <= {TARGET} x used: {'met' if archive.bytes_sent <= TARGET * used else 'MISSED'}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rois", type=int, default=300)
    parser.add_argument("--raw-megabytes", type=int, default=400)
    asked = parser.parse_args()
    for name, chunks in CHUNKS.items():
        with tempfile.TemporaryDirectory() as name_of_folder:
            folder = Path(name_of_folder)
            file = write_recording_with_movie(
                folder / "recording.nwb",
                minutes=asked.minutes,
                n_rois=asked.rois,
                raw_bytes=asked.raw_megabytes * 1_000_000,
                trace_chunks=chunks,
            )
            used = used_bytes(file, USED)
            print(f"{name}: file {file.stat().st_size / 1e6:.1f} MB, datasets used {used / 1e6:.1f} MB")
            start = time.perf_counter()
            pipeline.prepare([file], folder / "local")
            print(f"  from the disk: {time.perf_counter() - start:.1f} s")
            for latency in (0.0, LATENCY_SECONDS):
                os.environ["NWB_MIVAE_CACHE"] = str(folder / f"cache-{latency}")
                for label in ("empty cache", "again"):
                    measure(file, folder, latency=latency, label=f"{latency * 1000:.0f} ms, {label}", used=used)


if __name__ == "__main__":
    main()
