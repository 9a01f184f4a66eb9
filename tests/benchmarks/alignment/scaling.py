"""More data, better: held-out retrieval by number of training animals, once with the clips shared out among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nwb_mivae.evaluation import EvaluationConfiguration, evaluate
from nwb_mivae.provenance import provenance_record
from tests.benchmarks.alignment.animals import ideal
from tests.benchmarks.alignment.code import JUDGING, code_digest
from tests.benchmarks.alignment.protocol import Settings, retrieval_summary, trained_module

if TYPE_CHECKING:
    from tests.benchmarks.alignment.scales import Material

__all__ = ["CURVES", "point", "settings_of_point"]

#: Whether all animals together give ``scale.scaling_clips`` clips, or each of them.
CURVES = ("fixed_total", "fixed_per_animal")


def settings_of_point(
    given: Material, design: str, seed: int, curve: str, animals: int, *, steps: int | None = None
) -> Settings:
    """Training on so many animals, each of which gives the beginning of its recording."""
    clips = given.scale.scaling_clips // (animals if curve == "fixed_total" else 1)
    return Settings(given, design, seed, steps=steps, animals=animals, training_clips=clips)


def point(given: Material, settings: Settings, folder: Path) -> dict[str, Any]:
    """One point of a curve. Controls are drawn once: the headline has them in full."""
    split = given.trained_on(settings.animals)
    module, _, seconds = trained_module(given, split, settings, folder)
    quick = EvaluationConfiguration(
        clips=given.scale.test_clips, control_draws=1, untrained_context_clips=64, pair_shuffles=5
    )
    with torch.no_grad():
        evaluation = evaluate(module, given.store, split, configuration=quick, seed=settings.seed)
    return {
        "configuration": settings.as_dict(),
        "code": code_digest(JUDGING),
        "data": {"digest": given.digest},
        "retrieval": retrieval_summary(evaluation, ideal(given, folder / "cache")),
        "seconds": {"training": seconds},
        "provenance": provenance_record(),
    }
