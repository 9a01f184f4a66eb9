"""Baselines of one store: `python -m tests.benchmarks.alignment.baselines STORE --held-out mouse9 mouse10`."""

from __future__ import annotations

import argparse
from pathlib import Path

from nwb_mivae.clips import ClipStore, SplitConfiguration, make_split
from tests.benchmarks.alignment.baselines import baselines
from tests.benchmarks.measuring import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="folder that prepare wrote")
    parser.add_argument("--held-out", nargs="+", required=True, help="subjects to report apart")
    parser.add_argument("--clips", type=int, help="at most so many test clips per session")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip")
    parser.add_argument("--context-clips", type=int, help="so many clips of each animal's training part, not all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cebra", action="store_true", help="train CEBRA too (extra cebra)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    store = ClipStore.open(arguments.store)
    split = make_split(store, SplitConfiguration(held_out=arguments.held_out), n_frames=arguments.frames)
    rows = baselines(
        store,
        split,
        clips=arguments.clips,
        n_frames=arguments.frames,
        context_clips=arguments.context_clips,
        seed=arguments.seed,
        cebra=arguments.cebra,
    )
    report(rows, arguments.out)


if __name__ == "__main__":
    main()
