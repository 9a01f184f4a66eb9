"""How long it takes to prepare a simulated session: `python -m tests.benchmarks.reading.prepare --out figures.json`.

A session of 20 minutes and 300 ROIs is simulated. `prepare` and h5py (every dataset of the file, whole) read it in
turn, each in a process of its own that has imported what it needs, with the file in the system's memory (warm) and
dropped from it (cold). What does not grow with the session is measured as well: the same for one of a quarter of a
minute. The target is twice the time of h5py beyond one fixed second. Seconds of the processor are given beside those of
the clock, because other work on the machine changes the latter.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Measured, forget_file, in_child, measured, report

#: Where the time goes, by function; some contain others.
STAGES = {
    "digest of the source and of the store's files": "sha256_of_file",
    "opening with pynwb": "open_nwb",
    "reading the session (opening included)": "read_session",
    "alignment": "align",
    "activity on disk": "write_activity",
    "stimulus frames, reading included": "_stage_frames",
    "stimulus frames in order": "_gather_frames",
    "tables": "to_csv",
    "waiting for the disk": "flush_to_disk",
}


def simulated(folder: Path, minutes: float, rois: int) -> Path:
    from nwb_mivae.simulation import SimulationConfiguration, simulate

    settings = SimulationConfiguration(animals=1, minutes=minutes, cells=(rois, rois))
    (animal,) = simulate(folder, settings)
    return animal.nwb


def read_with_h5py(path: Path) -> Measured:
    import h5py

    def read() -> int:
        n_bytes = 0

        def visit(_: str, item: Any) -> None:
            nonlocal n_bytes
            if isinstance(item, h5py.Dataset):
                n_bytes += getattr(item[()], "nbytes", 0)

        with h5py.File(path) as file:
            file.visititems(visit)
        return n_bytes

    return measured(read)


def prepare_with_us(path: Path, store: Path) -> Measured:
    import pynwb  # noqa: F401  (the import is not what is measured)

    from nwb_mivae.clips import prepare

    return measured(lambda: prepare([path], store).digest)


def stages(path: Path, store: Path) -> dict[str, float]:
    """Seconds by stage, with the profiler on, which makes all of them longer."""
    import pynwb  # noqa: F401

    from nwb_mivae.clips import prepare

    profile = cProfile.Profile()
    profile.runcall(prepare, [path], store)
    spent: dict[str, float] = {}
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[name] = max(spent.get(name, 0.0), cumulative)
    return {stage: round(spent[name], 3) for stage, name in STAGES.items() if name in spent}


def compared(path: Path, folder: Path, repeats: int, *, cold: bool) -> dict[str, float]:
    """The best of some repeats of each, taken in turn."""
    ours, theirs = [], []
    for repeat in range(repeats):
        for runs in (theirs, ours):
            if cold:
                forget_file(path)
            else:
                path.read_bytes()
            if runs is theirs:
                runs.append(in_child(read_with_h5py, path))
            else:
                runs.append(in_child(prepare_with_us, path, folder / f"store-{path.stem}-{cold}-{repeat}"))
    figures: dict[str, float] = {"bytes_read_by_h5py": theirs[0].result}
    for clock in ("seconds", "processor_seconds"):
        figures[f"h5py_{clock}"] = round(min(getattr(run, clock) for run in theirs), 3)
        figures[f"prepare_{clock}"] = round(min(getattr(run, clock) for run in ours), 3)
    figures["peak_mebibytes"] = round(max(run.peak_mebibytes for run in ours))
    figures["mebibytes_above_imports"] = round(max(run.peak_mebibytes - run.before_mebibytes for run in ours))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rois", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = in_child(simulated, folder / "session", arguments.minutes, arguments.rois)
        short = in_child(simulated, folder / "short", 0.25, arguments.rois)
        figures: dict[str, Any] = {
            "minutes": arguments.minutes,
            "rois": arguments.rois,
            "file_bytes": path.stat().st_size,
        }
        for state, cold in (("warm", False), ("cold", True)):
            whole = compared(path, folder, arguments.repeats, cold=cold)
            fixed = compared(short, folder, arguments.repeats, cold=cold)
            for clock in ("seconds", "processor_seconds"):
                ours, theirs, least = (
                    whole[f"prepare_{clock}"],
                    whole[f"h5py_{clock}"],
                    fixed[f"prepare_{clock}"] - fixed[f"h5py_{clock}"],
                )
                whole[f"fixed_{clock}"] = round(least, 3)
                whole[f"ratio_beyond_one_second_by_{clock}"] = round((ours - 1.0) / theirs, 2)
                whole[f"ratio_beyond_what_is_fixed_by_{clock}"] = round((ours - least) / theirs, 2)
            figures[state] = whole
        figures["stages"] = in_child(stages, path, folder / "store-profile")
        report(figures, arguments.out)


if __name__ == "__main__":
    main()
