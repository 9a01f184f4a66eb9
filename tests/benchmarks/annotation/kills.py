"""What SIGKILL leaves behind while a file is annotated: `python -m tests.benchmarks.annotation.kills --markdown`.

Each time a process of its own annotates a recording and is killed at a moment drawn over the whole time that takes,
evenly: one in each of as many equal parts as there are kills. Then every file in the folder that has a name to be found
by is looked at. A file that was there before must be byte by byte what it was, or (where it is appended to) whole with
the results. An output must be absent or whole. Whole means: pynwb opens it and its validator finds nothing, all the
source's data are in it as they were, and `read_annotations` gives what an undisturbed call wrote. In the end the same
call is made once more and not disturbed: it must succeed, and remove what the killed ones left.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.annotation.backends import backend_of
from tests.benchmarks.annotation.recording import results_for, stored_for, write_recording
from tests.benchmarks.measuring import report

FORMS = ("append", "copy", "companion")
BACKENDS = ("hdf5", "zarr")
_SUFFIX = {"hdf5": ".nwb", "zarr": ".nwb.zarr"}
_NAME = "sub-mouse1_ses-ses1"
# Imported once, by the process that the killed ones are forked from.
_PRELOADED = ["tests.benchmarks.annotation.kills", "ndx_mivae", "hdmf_zarr", "nwb_mivae.annotation.objects"]


def killed(form: str, backend: str, *, kills: int, rois: int, minutes: float, seed: int = 0) -> dict[str, Any]:
    """Kill so many annotations of one form and format; what was lost, and what was left that only looks whole."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(Path(folder), form, backend, rois, minutes)
        seconds = float(np.median([_undisturbed(context, trial) for _ in range(3)]))
        random = np.random.default_rng(seed)
        lost, looks_whole, phases, complaints, drawn = 0, 0, Counter[str](), [], 0
        for number in range(kills):
            while True:
                moment = seconds * (number + random.uniform()) / kills
                drawn += 1
                trial.prepare()
                if _kill_after(context, trial, moment):
                    break
                if drawn > 20 * kills:
                    raise RuntimeError("calls end before they can be killed: take a longer recording")
            phases[trial.phase()] += 1
            source, output = _in_child(context, trial.judge)
            lost += source != "whole"
            looks_whole += output == "half"
            complaints += [f"kill {number}: source {source}, output {output}"] * (source != "whole" or output == "half")
        left = len(trial.leftovers())
        trial.restore()
        _undisturbed(context, trial, prepared=True)
        return {
            "form": form,
            "format": backend,
            "kills": kills,
            "seconds": round(seconds, 2),
            "phases": dict(phases),
            "files_lost": lost,
            "half_written_that_look_whole": looks_whole,
            "whole_after_another_call": _in_child(context, trial.judge) == ("whole", "whole"),
            "left_before_that_call": left,
            "left_after_it": len(trial.leftovers()),
            "complaints": complaints,
        }


class _Trial:
    """A folder with a recording in it, an undisturbed result elsewhere, and how to tell one state from another."""

    def __init__(self, folder: Path, form: str, backend: str, rois: int, minutes: float) -> None:
        self.form, self.backend, self.rois, self.minutes = form, backend, rois, minutes
        self.pristine, self.work, self.reference = folder / "pristine", folder / "work", folder / "reference"
        for each in (self.pristine, self.work, self.reference):
            each.mkdir()
        # What is appended to has the format itself; other outputs are made of the HDF5 file.
        of_source = backend if form == "append" else "hdf5"
        self.source = self.work / f"{_NAME}_ophys{_SUFFIX[of_source]}"
        original = write_recording(self.pristine / f"{_NAME}_ophys.nwb", rois=rois, minutes=minutes)
        if of_source == "zarr":
            original = _in_child(multiprocessing.get_context("forkserver"), _to_zarr, original)
        self.original, self.digest = original, _digest(original)
        self.output = self.source if form == "append" else self.work / f"{_NAME}_desc-mivae_ophys{_SUFFIX[backend]}"
        self.prepare()

    def prepare(self) -> None:
        """The recording as it was, and no output; what a killed call left with a hidden name stays."""
        if not self.source.exists() or _digest(self.source) != self.digest:
            self.restore()
        if self.output != self.source and self.output.exists():
            _remove(self.output)
        self.before = self.leftovers()

    def restore(self) -> None:
        """The recording anew."""
        if self.source.exists():
            _remove(self.source)
        _copy(self.original, self.source)
        if self.output != self.source and self.output.exists():
            _remove(self.output)

    def annotate(self) -> None:
        """The call that is killed."""
        results = results_for(stored_for(self.source, rois=self.rois, minutes=self.minutes))
        out = None if self.form == "append" else self.output
        backend: Any = self.backend
        annotate(self.source, out, form=self.form, backend=backend, **results.arguments())  # type: ignore[arg-type]

    def phase(self) -> str:
        """How far the killed call had come, by what is there."""
        if self.output.exists() and _digest(self.output) != self.digest:
            return "after the output was in place"
        return "before anything was written" if self.leftovers() <= self.before else "while it was written beside"

    def leftovers(self) -> set[str]:
        """Names of the hidden files beside the recording."""
        return {path.name for path in self.work.iterdir() if path.name.startswith(".")}

    def judge(self) -> tuple[str, str]:
        """What became of the recording, and of the output: "whole", "absent" or "half"."""
        unknown = [
            path.name
            for path in self.work.iterdir()
            if path not in (self.source, self.output) and not path.name.startswith(".")
        ]
        if unknown:
            return "whole", "half"
        source_unchanged = self.source.exists() and _digest(self.source) == self.digest
        if self.form == "append":
            whole = source_unchanged or self._is_whole()
            return ("whole", "absent" if source_unchanged else "whole") if whole else ("lost", "half")
        output = "absent" if not self.output.exists() else "whole" if self._is_whole() else "half"
        return "whole" if source_unchanged else "lost", output

    def _is_whole(self) -> bool:
        import pynwb

        reference = next(self.reference.iterdir())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with backend_of(self.output).open(self.output, "r") as reading:
                    if pynwb.validate(io=reading):
                        return False
                    reading.read()
                if self.form != "companion" and not _holds(self.output, self.original):
                    return False
                return same(read_annotations(self.output), read_annotations(reference))
            except Exception:  # whatever a damaged file makes libraries raise
                return False


def _to_zarr(original: Path) -> Path:
    """The same recording in the other format, as the source of what is appended."""
    from pynwb import NWBHDF5IO

    target = original.with_name(original.name + ".zarr")
    with NWBHDF5IO(str(original), "r") as reading:
        backend: Any = backend_of(original.parent)
        backend.export(reading, reading.read(), target)
    return target


def _undisturbed(context: Any, trial: _Trial, *, prepared: bool = False) -> float:
    """Seconds of a call that nobody kills; its output is what others are compared with."""
    if not prepared:
        trial.restore()
    parent, child = context.Pipe()
    process = context.Process(target=_call, args=(trial, child))
    process.start()
    parent.recv()
    begin = time.perf_counter()
    process.join()
    seconds = time.perf_counter() - begin
    if process.exitcode != 0:
        raise RuntimeError(f"an undisturbed call ended with {process.exitcode}")
    reference = trial.reference / trial.output.name
    if not reference.exists():
        _copy(trial.output, reference)
    return seconds


def _kill_after(context: Any, trial: _Trial, moment: float) -> bool:
    """Whether the call was killed so many seconds after it began, and had not ended before."""
    parent, child = context.Pipe()
    process = context.Process(target=_call, args=(trial, child))
    process.start()
    parent.recv()
    time.sleep(moment)
    process.kill()
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def _call(trial: _Trial, begun: Connection) -> None:
    warnings.simplefilter("ignore")
    begun.send(True)
    trial.annotate()


def _in_child(context: Any, function: Any, *arguments: Any) -> Any:
    """The result of the function in a process of its own, so that this one never has an HDF5 file open."""
    parent, child = context.Pipe()
    process = context.Process(target=_answer, args=(child, function, *arguments))
    process.start()
    child.close()
    answer = parent.recv()
    process.join()
    return answer


def _answer(answer: Connection, function: Any, *arguments: Any) -> None:
    answer.send(function(*arguments))


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same in every number and text, but for when they were made."""
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one) if each.name != "created"
        )
    if isinstance(one, pd.DataFrame):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if isinstance(one, Mapping):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one if key != "created")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and one != one:
        return bool(other != other)
    return bool(one == other)


def _holds(annotated: Path, original: Path) -> bool:
    """Whether every array of numbers of the original is in the annotated file, as it was."""
    with _stored(annotated) as there, _stored(original) as here:
        for path, array in _arrays(here):
            # A single value of HDF5 is an array of one in Zarr.
            if path not in there or not np.array_equal(np.ravel(array[()]), np.ravel(there[path][()])):
                return False
    return True


def _stored(path: Path) -> Any:
    if path.is_file():
        return h5py.File(path, "r")
    from contextlib import nullcontext

    import zarr

    return nullcontext(zarr.open(str(path), mode="r"))


def _arrays(root: Any) -> Iterator[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    root.visititems(lambda path, item: found.append((path, item)) if hasattr(item, "dtype") else None)
    yield from ((path, item) for path, item in found if item.dtype.kind in "biuf")


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder."""
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if each.is_file():
            digest.update(str(each.relative_to(path)).encode())
            digest.update(each.read_bytes())
    return digest.hexdigest()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def markdown(figures: list[dict[str, Any]]) -> str:
    """The figures as a table."""
    names = ("before anything was written", "while it was written beside", "after the output was in place")
    lines = [
        "| form | format | kills | killed before, during and after writing | a call takes | files lost "
        "| half-written that look whole | another call |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in figures:
        phases = ", ".join(str(each["phases"].get(name, 0)) for name in names)
        again = f"{'succeeds' if each['whole_after_another_call'] else 'FAILS'}, leaves {each['left_after_it']}"
        lines.append(
            f"| {each['form']} | {each['format']} | {each['kills']} | {phases} | {each['seconds']} s "
            f"| {each['files_lost']} | {each['half_written_that_look_whole']} | {again} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of append and copy in HDF5")
    parser.add_argument("--kills-of-others", type=int, default=15, help="of companions and of Zarr")
    parser.add_argument("--rois", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--form", choices=FORMS, action="append")
    parser.add_argument("--format", choices=BACKENDS, action="append")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures = []
    for backend in given.format or BACKENDS:
        for form in given.form or FORMS:
            many = backend == "hdf5" and form in ("append", "copy")
            kills = given.kills if many else given.kills_of_others
            figures.append(killed(form, backend, kills=kills, rois=given.rois, minutes=given.minutes))
    if given.markdown:
        print(markdown(figures))
    if given.out is not None or not given.markdown:
        report({"kills": figures}, given.out)


if __name__ == "__main__":
    main()
