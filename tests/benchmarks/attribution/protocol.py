"""One seed: a default model trained on animals with planted truth, and its attribution in held-out ones judged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwb_mivae.clips import EpisodeConfiguration
from nwb_mivae.model import ModelConfiguration, weights_digest
from nwb_mivae.provenance import provenance_record
from nwb_mivae.training import TrainingConfiguration
from tests.benchmarks.alignment.code import TRAINING, code_digest
from tests.benchmarks.alignment.protocol import trained_module
from tests.benchmarks.attribution.finding_planted import (
    Judged,
    attributions,
    first_half,
    neuron_figures,
    pixel_figures,
    private_figures,
    session_figure,
    subpopulation_figures,
)
from tests.benchmarks.attribution.planted import DRIVEN, cells_by_latent, planted
from tests.benchmarks.attribution.random_models import random_figures
from tests.benchmarks.attribution.region_nulls import null_p_values, region_figures
from tests.benchmarks.attribution.removal import judge_of_cells, judge_of_pixels, removal_figures

if TYPE_CHECKING:
    from tests.benchmarks.alignment.scales import Material
    from tests.benchmarks.attribution.scales import Scale

__all__ = ["JUDGING", "Settings", "configuration_of", "judge"]

#: What figures depend on.
JUDGING = (
    *TRAINING,
    *(f"nwb_mivae/{room}" for room in ("attribution", "evaluation", "inference")),
    "tests/benchmarks/attribution",
)
#: Methods that private latents have, and that the half of a recording is judged by.
_OF_PRIVATE = ("fisher", "gradient")
_OF_HALF = "gradient_x_input"


class Settings:
    """What one seed is trained with; has what :func:`tests.benchmarks.alignment.protocol.trained_module` asks for."""

    design = "default"

    def __init__(self, scale: Scale, seed: int) -> None:
        self.seed = seed
        self.animals = scale.trained
        self.model = ModelConfiguration()
        self.training = TrainingConfiguration(steps=scale.steps, seed=seed, validation_clips=0)
        default = EpisodeConfiguration(clip_frames=scale.clip_frames)
        sessions = min(default.sessions_per_step, scale.trained)
        self.episodes = default.model_copy(update={"sessions_per_step": sessions})

    def as_dict(self) -> dict[str, Any]:
        """Everything the weights depend on but the data."""
        return {
            "seed": self.seed,
            **{name: getattr(self, name).model_dump(mode="json") for name in ("model", "training", "episodes")},
        }


def configuration_of(scale: Scale, seed: int) -> dict[str, Any]:
    """Everything a result depends on but data and code, JSON-able."""
    return {
        **Settings(scale, seed).as_dict(),
        "scale": json.loads(json.dumps(scale.as_dict())),
        "simulation": scale.simulation.model_dump(mode="json"),
        "driven": DRIVEN,
    }


@dataclass
class _Clock:
    """Seconds by step, told as they begin."""

    name: str
    note: Callable[[str], None]
    seconds: dict[str, float]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.note(f"{self.name}: {name}")
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - begin, 1)


def judge(
    given: Material, scale: Scale, seed: int, folder: Path, *, note: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train into ``folder/runs``, judge, and return everything as JSON-able values.

    A model that is there, of the same settings, data and code, is not trained again. Judging is done on the CPU.
    """
    split = given.split
    clock = _Clock(f"{scale.name}, seed {seed}", note, {})
    with clock.step("training"):
        module, run, trained_in = trained_module(given, split, Settings(scale, seed), folder)
    clock.seconds["training"] = trained_in
    model = Judged(module.cpu(), given.store, split)
    return {
        "configuration": configuration_of(scale, seed),
        "code": code_digest(JUDGING),
        "data": {"digest": given.digest, "content_disjoint": bool(split.content_disjoint)},
        "weights_sha256": weights_digest(run.model),
        "sessions": {key: _of_session(model, given, scale, key, seed, clock) for key in split.held_out_sessions},
        "seconds": clock.seconds,
        "provenance": provenance_record(device="cpu"),
    }


def _of_session(model: Judged, given: Material, scale: Scale, session: str, seed: int, clock: _Clock) -> dict[str, Any]:
    """Every figure of one held-out animal."""
    with clock.step("truth"):
        truth = planted(given, session)
        frames = scale.clip_frames
        starts = model.split.clip_starts(given.store.sessions[session], "test", n_frames=frames, stride=frames)
        of_latent = cells_by_latent(model.module, given, session, truth, starts)
    with clock.step("attribution to neurons"):
        to_neurons = attributions(model, session, "neurons", scale.clips_to_neurons, seed=seed)
        private = attributions(
            model,
            session,
            "neurons",
            dict.fromkeys(_OF_PRIVATE, scale.clips_of_private_latents),
            of="private",
            seed=seed,
        )
        half = attributions(first_half(model), session, "neurons", {_OF_HALF: None}, seed=seed)
    with clock.step("attribution to pixels"):
        to_pixels = attributions(model, session, "pixels", scale.clips_to_pixels, seed=seed)
    with clock.step("subpopulations"):
        subpopulations = subpopulation_figures(model, to_neurons["fisher"], given, truth, seed=seed)
    with clock.step("removal"):
        rankings = {
            source: {method: session_figure(each, method, source) for method, each in by_method.items()}
            for source, by_method in (("neurons", to_neurons), ("pixels", to_pixels))
        }
        judges = {
            "neurons": judge_of_cells(model, session, scale.curve_clips),
            "pixels": judge_of_pixels(model, session, scale.curve_clips_of_pixels),
        }
        removal = {
            source: removal_figures(ranking, judges[source], random_orders=scale.random_orders, seed=seed)
            for source, ranking in rankings.items()
        }
    with clock.step("random models"):
        random = random_figures(model, session, truth, scale, seed=seed)
    with clock.step("stimulus regions"):
        regions = region_figures(to_pixels["fisher"], given.store, scale, seed=seed)
        nulls = null_p_values(to_pixels["fisher"], given.store, scale, seed=seed)
    return {
        "cells": {
            "visual": int(truth.visual.sum()),
            "not_visual": int((~truth.visual).sum()),
            "private": int(truth.private.sum()),
            "not_private": int((~truth.private).sum()),
            "latents_with_cells": int(of_latent.any(axis=1).sum()),
            "cells_of_a_latent": float(of_latent.sum(axis=1).mean()),
        },
        "driving_share": float(truth.driving_pixels.mean()),
        "clips": {
            "test": len(starts),
            "neurons": {method: each.settings["clips_used"] for method, each in to_neurons.items()},
            "pixels": {method: each.settings["clips_used"] for method, each in to_pixels.items()},
        },
        "neurons": neuron_figures(to_neurons, truth, of_latent),
        "private": private_figures(private, truth),
        "half_of_recording": {
            "clips": half[_OF_HALF].settings["clips_used"],
            "method": _OF_HALF,
            **neuron_figures(half, truth, of_latent)[_OF_HALF],
        },
        "pixels": pixel_figures(to_pixels, truth.driving_pixels),
        "subpopulations": subpopulations,
        "removal": removal,
        "random_models": random,
        "regions": regions,
        "null_p_values": nulls,
    }
