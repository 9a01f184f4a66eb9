"""What default settings make of one kind of recording: the course of the loss, retrieval with its controls, cost."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nwb_mivae.clips import EpisodeConfiguration
from nwb_mivae.evaluation import CONDITIONS, EvaluationConfiguration, evaluate
from nwb_mivae.model import ModelConfiguration
from nwb_mivae.provenance import provenance_record
from nwb_mivae.run import Run
from nwb_mivae.training import TrainingConfiguration, fit, make_module
from tests.benchmarks.alignment.code import code_digest
from tests.benchmarks.defaults.kinds import KINDS, Kind
from tests.benchmarks.defaults.recordings import material
from tests.benchmarks.measuring import measured

__all__ = ["figures", "settings_of"]

#: What the figures depend on.
_CODE = (
    *(f"nwb_mivae/{room}" for room in ("alignment", "clips", "evaluation", "inference", "model", "training")),
    "nwb_mivae/simulation",
    "tests/benchmarks/defaults",
)
#: Steps at either end of training over which the loss is averaged: single ones differ by what was drawn.
_ENDS = 10


def settings_of(kind: Kind, encoder: str, seed: int) -> dict[str, Any]:
    """Everything that figures follow from; where equal, they need not be made again."""
    training, episodes, evaluation = _configurations(kind, seed)
    return {
        "kind": kind.as_dict(),
        "seed": seed,
        "simulation": kind.simulation.model_dump(mode="json"),
        "model": ModelConfiguration.from_mapping({"stimulus_encoder": encoder}).model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "episodes": episodes.model_dump(mode="json"),
        "evaluation": evaluation.model_dump(mode="json"),
        "code": code_digest(_CODE),
    }


def figures(name: str, encoder: str, seed: int, data: Path) -> dict[str, Any]:
    """Train and judge with nothing but defaults. To be called in a new process: memory is that of the process."""
    kind = KINDS[name]
    training, episodes, evaluation = _configurations(kind, seed)
    model = ModelConfiguration.from_mapping({"stimulus_encoder": encoder})
    store, split = material(kind, data, n_frames=episodes.clip_frames)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.at(folder)
        begin = time.perf_counter()
        trained = measured(lambda: fit(store, split, run, model=model, training=training, episodes=episodes))
        module = trained.result
        log = _log(run.training_log)
        judged = measured(lambda: evaluate(module, store, split, configuration=evaluation, seed=seed))
        # By the distance that the read-out alone is judged by.
        cosine = evaluation.model_copy(update={"distance": "centred_cosine"})
        by_cosine = evaluate(module, store, split, configuration=cosine, seed=seed)
        beginning = make_module(store, split, model, episodes, seed=seed)
        at_first = evaluate(beginning, store, split, configuration=cosine, seed=seed)
        seconds = time.perf_counter() - begin
    session = store.sessions[split.held_out_sessions[0]]
    sums = module.context_builder.sums(session.n_cells, episodes.context_clips * episodes.clip_frames)
    whole = split.clip_starts(session, "train", n_frames=episodes.clip_frames, stride=episodes.clip_frames)
    whole_sums = module.context_builder.sums(session.n_cells, len(whole) * episodes.clip_frames)
    summary = judged.result.summary
    return {
        "configuration": settings_of(kind, encoder, seed),
        "data": {
            "digest": store.digest,
            "frame_rate": session.frame_rate,
            "neural_rate": session.report["neural_rate"],
            "frames": session.n_frames,
            "context_frames": len(whole) * episodes.clip_frames,
            "content_disjoint": split.content_disjoint,
        },
        "loss": {"first": _mean(log["total"][:_ENDS]), "last": _mean(log["total"][-_ENDS:])},
        "readout": {
            "training": "primal" if sums.primal else "dual",
            "inference": "primal" if whole_sums.primal else "dual",
            "penalty_first": log["readout_penalty"][0],
            "penalty_last": log["readout_penalty"][-1],
        },
        "finite": all(bool(torch.isfinite(value).all()) for value in module.state_dict().values()),
        "retrieval": {
            group: {condition: dict(summary[group][condition]) for condition in CONDITIONS}
            for group in ("held_out", "trained")
        },
        "by_cosine": {
            name: {group: result.summary[group]["with_context"]["top1"] for group in ("held_out", "trained")}
            for name, result in {"trained": by_cosine, "at_first": at_first}.items()
        },
        "clips": judged.result.n_clips,
        "active_units": dict(judged.result.active_units),
        "cost": {
            "seconds_per_step": trained.processor_seconds / training.steps,
            "training_mebibytes": trained.peak_mebibytes,
            "evaluation_mebibytes": judged.peak_mebibytes,
            "seconds": seconds,
        },
        "provenance": provenance_record(),
    }


def _configurations(
    kind: Kind, seed: int
) -> tuple[TrainingConfiguration, EpisodeConfiguration, EvaluationConfiguration]:
    """Defaults, but for how long is trained, what is logged, and how often controls are drawn."""
    return (
        TrainingConfiguration(steps=kind.steps, seed=seed, validation_clips=0, log_every=1, accelerator="cpu"),
        EpisodeConfiguration(),
        EvaluationConfiguration(clips=kind.test_clips, control_draws=1),
    )


def _log(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
