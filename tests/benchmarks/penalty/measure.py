"""What the read-out alone says of content it has not seen, by the strength of its penalty; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, Split, evenly, load_clips
from nwb_mivae.evaluation import metrics
from nwb_mivae.evaluation.conditions import Posterior, condition_metrics
from nwb_mivae.model import MiVAEModule, ModelConfiguration
from nwb_mivae.provenance import provenance_record
from nwb_mivae.training import make_module
from tests.benchmarks.alignment.code import code_digest
from tests.benchmarks.defaults.kinds import KINDS
from tests.benchmarks.defaults.recordings import material

__all__ = ["ABSOLUTE", "MULTIPLES", "figures", "settings_of"]

#: Penalties in units of the total variance of the inputs, and one that is the same number for every recording.
MULTIPLES = (0.01, 0.1, 0.5, 2.0, 10.0, 50.0)
ABSOLUTE = 100.0
#: Animals of each kind, the first ones: all are as new to the read-out.
_ANIMALS = 2
_CODE = (*(f"nwb_mivae/{room}" for room in ("alignment", "clips", "model", "simulation")), "tests/benchmarks/penalty")


def settings_of(name: str) -> dict[str, Any]:
    """Everything that figures follow from; where equal, they need not be made again."""
    return {
        "kind": KINDS[name].as_dict(),
        "model": ModelConfiguration(stimulus_encoder="front_end").model_dump(mode="json"),
        "multiples": list(MULTIPLES),
        "absolute": ABSOLUTE,
        "animals": _ANIMALS,
        "code": code_digest(_CODE),
    }


@torch.no_grad()
def figures(name: str, data: Path) -> dict[str, Any]:
    """Top-1 and R² on validation clips, with the context of a training step and with the whole training part."""
    episodes = EpisodeConfiguration()
    store, split = material(KINDS[name], data, n_frames=episodes.clip_frames)
    module = make_module(store, split, ModelConfiguration(stimulus_encoder="front_end"), episodes, seed=0).eval()
    sessions = list(store.sessions)[:_ANIMALS]
    return {
        "configuration": settings_of(name),
        "data": {"digest": store.digest, "sessions": sessions},
        "contexts": {
            label: [_of_session(module, store, split, key, clips) for key in sessions]
            for label, clips in (("of a training step", episodes.context_clips), ("whole training part", None))
        },
        "provenance": provenance_record(),
    }


def _of_session(module: MiVAEModule, store: ClipStore, split: Split, key: str, clips: int | None) -> dict[str, Any]:
    frames, session = module.shape.clip_frames, store.sessions[key]
    starts = split.clip_starts(session, "train", n_frames=frames, stride=frames)
    starts = evenly(starts, clips)
    sums = module.context_builder.sums(session.n_cells, len(starts) * frames)
    for some in np.array_split(starts, -(-len(starts) // 64)):
        batch = load_clips(store, split, key, some, n_frames=frames)
        sums.add(batch.neural, module.stimulus_features(batch.stimulus))
    judged = split.clip_starts(session, "validation", n_frames=frames, stride=frames)
    clips_judged = load_clips(store, split, key, judged, n_frames=frames)
    features = module.stimulus_features(clips_judged.stimulus)
    first, target = metrics.distinct_clips(clips_judged.content.numpy())
    mean = sums.neural[0] / sums.n_frames
    variance = float((sums.neural_squares[0] / sums.n_frames - mean.square()).sum())
    unit = variance * len(module.context_builder(sums).readout)
    found = {}
    for label, multiple in (*((str(each), each) for each in MULTIPLES), ("absolute", ABSOLUTE / unit)):
        module.context_builder.log_penalty.fill_(float(np.log(multiple)))
        predicted = module.predict_features(clips_judged.neural, module.context_builder(sums))
        retrieval = condition_metrics(_certain(predicted), _certain(features[first]), target, "centred_cosine")
        varied = (features - features.mean((0, 1))).square().sum()
        found[label] = {
            "multiple": multiple,
            "top1": retrieval["top1"],
            "r_squared": 1.0 - float((predicted - features).square().sum() / varied),
        }
    return {"session": key, "frames": sums.n_frames, "clips": len(first), "primal": sums.primal, "penalties": found}


def _certain(values: Tensor) -> Posterior:
    array = values.numpy()
    return Posterior(array, np.zeros_like(array))
