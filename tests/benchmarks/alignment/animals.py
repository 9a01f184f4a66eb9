"""Figures of the animals alone, whatever the model: ideal observer and linear baselines, computed once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nwb_mivae.outputs import read_json, write_json
from tests.benchmarks.alignment.code import OF_ANIMALS, code_digest
from tests.benchmarks.alignment.decoding import decoding_from_activity, judged_sessions
from tests.benchmarks.alignment.encoding import clips_of
from tests.benchmarks.alignment.generation import generation_baselines, generation_figures, true_generation
from tests.benchmarks.alignment.ideal_observer import ideal_figures

if TYPE_CHECKING:
    from tests.benchmarks.alignment.scales import Material
    from tests.benchmarks.alignment.true_factors import TrueFactors

__all__ = ["animals_alone", "ideal"]


def ideal(given: Material, cache: Path) -> dict[str, Any]:
    """Figures of the ideal observer for every session, and under ``clip_alone`` those of the one of the clip alone."""
    path = cache / f"{given.scale.name}-ideal.json"
    belongs_to = _belongs_to(given)
    if path.exists() and (known := read_json(path))["belongs_to"] == belongs_to:
        return cast(dict[str, Any], known["figures"])
    figures = {}
    for key, stored in given.store.sessions.items():
        starts = clips_of(given, given.split, key, "test", given.scale.test_clips).starts
        lag = float(stored.report["lag"])
        known = (stored, given.truth(key), starts, given.scale.clip_frames, lag)
        figures[key] = {**ideal_figures(*known), "clip_alone": ideal_figures(*known, clip_alone=True)}
    _keep(path, belongs_to, figures)
    return figures


def animals_alone(given: Material, factors: TrueFactors, cache: Path) -> dict[str, Any]:
    """``ideal_observer`` of every session; ``from_activity`` and ``generation_baselines`` of every judged one."""
    path = cache / f"{given.scale.name}-animals.json"
    belongs_to = _belongs_to(given)
    observer = {"ideal_observer": ideal(given, cache)}
    if path.exists() and (known := read_json(path))["belongs_to"] == belongs_to:
        return {**observer, **known["figures"]}
    split = given.split
    figures: dict[str, Any] = {"from_activity": {}, "generation_baselines": {}}
    for key in judged_sessions(given, split):
        figures["from_activity"][key] = decoding_from_activity(given, split, factors, key)
        test = clips_of(given, split, key, "test", given.scale.test_clips)
        truth = true_generation(given, split, test)
        figures["generation_baselines"][key] = {
            name: generation_figures(each, truth) for name, each in generation_baselines(given, split, test).items()
        }
    _keep(path, belongs_to, figures)
    return {**observer, **figures}


def _belongs_to(given: Material) -> dict[str, Any]:
    scale = {name: given.scale.as_dict()[name] for name in ("clip_frames", "test_clips", "decoding_clips")}
    return {"digest": given.digest, "code": code_digest(OF_ANIMALS), **scale}


def _keep(path: Path, belongs_to: dict[str, Any], figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"belongs_to": belongs_to, "figures": figures})
