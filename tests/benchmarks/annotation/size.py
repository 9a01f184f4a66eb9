"""How large an annotation is and how long writing takes: `python -m tests.benchmarks.annotation.size --markdown`.

A recording of 1,000 ROIs at 30 Hz with a movie frame by frame, and results as the default settings make them: latents
of every frame, attribution of 64 clips, fingerprints, subpopulations, figures. The numbers are noise, so the sizes are
upper bounds. Bytes are those the datasets take in the file, with all that hangs on each object.

Time is that of one whole call of `annotate` (opening, checking and hashing the source included), over h5py writing the
same arrays, in the same chunks and compression, into a new file and onto the disk. A copy and an append write the
source's bytes as well; h5py's part then begins with a plain copy of the source. Neither writes chunks without a value.
Calls and their counterparts take turns, and the best of each counts. Beside the clock's ratio stands that of the
processor's seconds, which other programs on the machine disturb less, but which knows nothing of the disk.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation import annotate
from nwb_mivae.outputs import flush_to_disk
from tests.benchmarks.annotation.recording import RATE, SessionResults, results_for, stored_for, write_recording
from tests.benchmarks.measuring import in_child, report

FORMS = ("companion", "copy", "append")
_NAME = "sub-mouse1_ses-ses1"
_KINDS = {
    "LatentSeries": "latents of every frame, mean and variance",
    "TimeIntervals": "encoded frames",
    "PresentationLatents": "latents by presentation",
    "RoiAttributionSeries": "attribution to cells",
    "StimulusAttributionSeries": "attribution to pixels",
    "FunctionalFingerprints": "fingerprints",
    "Subpopulations": "subpopulations",
    "AlignmentMetricsTable": "figures with controls",
    "MIVAEAnnotation": "model and sources",
}


class _Array(NamedTuple):
    path: str
    shape: tuple[int, ...]
    pieces: list[tuple[Any, npt.NDArray[Any]]]
    settings: dict[str, Any]


def sizes(rois: int, minutes: float) -> dict[str, Any]:
    """Bytes by kind of result, of a companion."""
    with tempfile.TemporaryDirectory() as folder:
        source, results = _material(Path(folder), rois, minutes)
        out = annotate(source, Path(folder) / "out.nwb", form="companion", **results.arguments())
        by_kind: dict[str, int] = defaultdict(int)
        frames = len(results.latents.row)
        with h5py.File(out, "r") as file:
            for place in ("processing/mivae", "general/mivae"):
                items = [file[place]] if place.startswith("general") else list(file[place].values())
                for item in items:
                    by_kind[_KINDS[str(item.attrs["neurodata_type"])]] += _stored_bytes(item)
        return {
            "rois": rois,
            "minutes": minutes,
            "frames": frames,
            "source_bytes": source.stat().st_size,
            "bytes_by_kind": dict(sorted(by_kind.items(), key=lambda pair: -pair[1])),
            "companion_bytes": out.stat().st_size,
        }


def _stored_bytes(item: Any) -> int:
    if isinstance(item, h5py.Dataset):
        return int(item.id.get_storage_size())
    total = [0]
    item.visititems(lambda _, each: total.append(each.id.get_storage_size() if isinstance(each, h5py.Dataset) else 0))
    return sum(total)


def times(rois: int, minutes: float, repeats: int) -> dict[str, Any]:
    """Seconds of `annotate` and of h5py, by form: the best of so many turns, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, results = _material(folder, rois, minutes)
        reference = annotate(source, folder / "reference.nwb", form="companion", **results.arguments())
        arrays = _arrays_of(reference)
        best = {form: dict.fromkeys(("annotate", "h5py"), (math.inf, math.inf)) for form in FORMS}
        for _ in range(repeats):
            for form in FORMS:
                for who, function in (("annotate", _annotate), ("h5py", _write_plainly)):
                    work = folder / "work"
                    work.mkdir()
                    copy = Path(shutil.copyfile(source, work / source.name))
                    os.sync()  # nobody is to pay for what others left to the disk
                    taken = _seconds(function, form, copy, work / "out.nwb", results, arrays)
                    best[form][who] = tuple(map(min, best[form][who], taken))  # type: ignore[assignment]
                    shutil.rmtree(work)
        ratios = {
            form: [round(ours / theirs, 3) for ours, theirs in zip(each["annotate"], each["h5py"], strict=True)]
            for form, each in best.items()
        }
        return {
            "rois": rois,
            "minutes": minutes,
            "repeats": repeats,
            "array_bytes": sum(values.nbytes for array in arrays for _, values in array.pieces),
            "seconds": {form: {who: round(value[0], 2) for who, value in each.items()} for form, each in best.items()},
            "ratios_clock_and_processor": ratios,
        }


def _material(folder: Path, rois: int, minutes: float) -> tuple[Path, SessionResults]:
    warnings.simplefilter("ignore")
    source = write_recording(folder / f"{_NAME}_ophys.nwb", rois=rois, minutes=minutes)
    return source, results_for(stored_for(source, rois=rois, minutes=minutes))


def _arrays_of(reference: Path) -> list[_Array]:
    """Every dataset an annotation adds, in memory, and how it is stored."""
    arrays: list[_Array] = []

    def take(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            settings: dict[str, Any] = {"dtype": item.dtype}
            if item.chunks is not None:
                settings |= {
                    "chunks": item.chunks,
                    "compression": item.compression,
                    "compression_opts": item.compression_opts,
                    "shuffle": item.shuffle,
                    "maxshape": item.maxshape,
                    "fillvalue": item.fillvalue,
                }
            pieces = [(where, np.asarray(item[where], dtype=item.dtype)) for where in _written(item)]
            arrays.append(_Array(path, item.shape, pieces, settings))

    with h5py.File(reference, "r") as file:
        for place in ("processing/mivae", "general/mivae"):
            file[place].visititems(lambda name, item, place=place: take(f"{place}/{name}", item))
    # References into the file mean nothing in another one.
    return [array for array in arrays if h5py.check_ref_dtype(array.settings["dtype"]) is None]


def _written(dataset: h5py.Dataset) -> list[Any]:
    """Where there are values: everywhere, or in some chunks."""
    chunks = dataset.chunks
    if chunks is None:
        return [()]
    n_stored = dataset.id.get_num_chunks()
    if n_stored == math.prod(math.ceil(length / chunk) for length, chunk in zip(dataset.shape, chunks, strict=True)):
        return [()]
    offsets = [dataset.id.get_chunk_info(number).chunk_offset for number in range(n_stored)]
    return [tuple(slice(at, at + chunk) for at, chunk in zip(offset, chunks, strict=True)) for offset in offsets]


def _annotate(form: Any, source: Path, out: Path, results: SessionResults, _: list[_Array]) -> None:
    annotate(source, None if form == "append" else out, form=form, **results.arguments())


def _write_plainly(form: str, source: Path, out: Path, _: SessionResults, arrays: list[_Array]) -> None:
    """What annotating comes to in bytes: the source copied where the form does that, and the arrays written."""
    if form != "companion":
        shutil.copyfile(source, out)
    with h5py.File(out, "a") as file:
        for array in arrays:
            dataset = file.create_dataset(f"results/{array.path}", array.shape, **array.settings)
            for where, values in array.pieces:
                dataset[where] = values
    flush_to_disk(out)


def _seconds(function: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    processor, clock = time.process_time(), time.perf_counter()
    function(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


def markdown(size: dict[str, Any], time_to_write: dict[str, Any]) -> str:
    """The figures as two tables."""
    hours = size["frames"] / RATE / 3600
    lines = [
        f"| kind of result | MB per hour and {size['rois']:,} ROIs |",
        "|---|---|",
        *(f"| {kind} | {count / hours / 1e6:.2f} |" for kind, count in size["bytes_by_kind"].items()),
        f"| all | {sum(size['bytes_by_kind'].values()) / hours / 1e6:.1f} |",
        "",
        "| form | annotate | h5py | ratio | ratio of processor time |",
        "|---|---|---|---|---|",
    ]
    for form, seconds in time_to_write["seconds"].items():
        clock, processor = time_to_write["ratios_clock_and_processor"][form]
        lines.append(f"| {form} | {seconds['annotate']} s | {seconds['h5py']} s | {clock:.2f} | {processor:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rois", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    size = in_child(sizes, given.rois, given.minutes)
    time_to_write = in_child(times, given.rois, given.minutes, given.repeats)
    if given.markdown:
        print(markdown(size, time_to_write))
    if given.out is not None or not given.markdown:
        report({"size": size, "time": time_to_write}, given.out)


if __name__ == "__main__":
    main()
