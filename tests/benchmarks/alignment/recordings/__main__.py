"""Real animals: `python -m tests.benchmarks.alignment.recordings --real-data ../shared/data/real --out figures`.

Trains on some of the eight OpenScope animals and decodes which Gabor picture is shown from the shared latents of the
others, until each was held out once; a few minutes of one core for every seed. Results are JSON files in the output
folder; one that is there, of the same settings, data and code, is not made again.
`--page docs/benchmarks/recordings.md` writes the page from all that the folder holds, with or without making more
(`--seeds` without a number makes none).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, Split
from nwb_mivae.model import ModelConfiguration
from nwb_mivae.outputs import read_json, write_json
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run
from nwb_mivae.training import TrainingConfiguration, fit
from tests.benchmarks.alignment.code import TRAINING, code_digest
from tests.benchmarks.alignment.recordings.animals import SOURCE, Animals, animals_of, folds, split_without
from tests.benchmarks.alignment.recordings.judging import judge_fold
from tests.benchmarks.alignment.recordings.page import write_page
from tests.benchmarks.alignment.recordings.positions import positioned_clips
from tests.openscope_sessions import PICTURES

_CODE = (*TRAINING, "nwb_mivae/inference", "nwb_mivae/evaluation", "tests/benchmarks/alignment/recordings")


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, and write the page where it is asked for."""
    given = _parser().parse_args(arguments)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    if given.seeds:
        animals = animals_of(given.real_data / SOURCE, given.data or out / "data")
        chosen = {} if given.stimulus_encoder is None else {"stimulus_encoder": given.stimulus_encoder}
        model = ModelConfiguration.from_mapping(chosen)
        for seed in given.seeds:
            training = TrainingConfiguration(steps=given.steps, seed=seed, validation_clips=0)
            episodes = EpisodeConfiguration(clip_frames=given.clip_frames)
            configuration = {
                "seed": seed,
                "fold_size": given.fold_size,
                "control_draws": given.control_draws,
                **{
                    name: each.model_dump(mode="json")
                    for name, each in (("model", model), ("training", training), ("episodes", episodes))
                },
            }
            # All but the seed tells settings apart.
            of = (model.stimulus_encoder, given.steps, given.clip_frames, given.fold_size, seed)
            name = "-".join(map(str, ("recordings", *of)))
            belongs_to = {
                "configuration": configuration,
                "code": code_digest(_CODE),
                "data": {
                    "source": SOURCE.name,
                    "source_sha256": animals.source_sha256,
                    "digest": animals.digest,
                    "content_disjoint": False,
                },
            }
            path = out / f"{name}.json"
            if path.exists() and {key: read_json(path).get(key) for key in belongs_to} == belongs_to:
                print(f"{path.name} is there")
                continue
            found = _measured(animals, model, training, episodes, given, out / "runs" / name)
            write_json(path, {**belongs_to, **found})
    if given.page is not None:
        write_page(out, given.page)


def _measured(
    animals: Animals,
    model: ModelConfiguration,
    training: TrainingConfiguration,
    episodes: EpisodeConfiguration,
    given: argparse.Namespace,
    runs: Path,
) -> dict[str, Any]:
    """Everything of one seed, all folds."""
    begin = time.perf_counter()
    store = animals.store
    figures: dict[str, Any] = {}
    for number, held_out in enumerate(folds(store.subjects, given.fold_size)):
        print(f"{model.stimulus_encoder}, seed {training.seed}: held out {', '.join(held_out)}", flush=True)
        split = split_without(store, held_out, episodes.clip_frames)
        run = Run.at(runs / str(number))
        module = fit(store, split, run, model=model, training=training, episodes=episodes)
        module = module.to(torch.device("cuda" if torch.cuda.is_available() else "cpu")).eval()
        figures |= judge_fold(module, store, split, seed=training.seed, control_draws=given.control_draws)
    return {
        "animals": {key: _described(store, split, key, episodes.clip_frames) for key in store.sessions},
        "figures": figures,
        "seconds": round(time.perf_counter() - begin, 1),
        "provenance": provenance_record(device="cuda" if torch.cuda.is_available() else "cpu"),
    }


def _described(store: ClipStore, split: Split, key: str, clip_frames: int) -> dict[str, Any]:
    """What an animal is judged on; parts are the same in every fold."""
    stored, test = store.sessions[key], positioned_clips(store, split, key, "test", clip_frames)
    return {
        "subject": stored.subject,
        "rois": stored.n_cells,
        "trials": int(stored.segment.max()) + 1,
        "test_trials": len(np.unique(test.trial)),
        "test_clips": np.bincount(test.position, minlength=len(PICTURES)).tolist(),
    }


def _parser() -> argparse.ArgumentParser:
    beside = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "real"
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.alignment.recordings", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--real-data",
        type=Path,
        default=Path(os.environ.get("NWB_MIVAE_REAL_DATA", beside)),
        help=f"folder that holds {SOURCE}; by default NWB_MIVAE_REAL_DATA, or beside the repository",
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of training; the trials stay")
    parser.add_argument("--out", type=Path, required=True, help="folder of results and runs")
    parser.add_argument("--data", type=Path, help="folder of recordings and store; by default inside the output folder")
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--clip-frames", type=int, default=EpisodeConfiguration().clip_frames)
    parser.add_argument("--fold-size", type=int, default=2, help="animals that are held out together")
    parser.add_argument("--control-draws", type=int, default=20, help="of random controls")
    parser.add_argument("--stimulus-encoder", help="design of the stimulus encoder; the package's default if not given")
    parser.add_argument("--page", type=Path, help="Markdown page to write from all results in the output folder")
    return parser


if __name__ == "__main__":
    main()
