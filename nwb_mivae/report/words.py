"""The report's sentences: what was trained on what, whether it works, and what to doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.evaluation import Evaluation

__all__ = ["doubts", "outcome", "what_was_trained"]

#: Below these, figures are said to rest on little. Judgement, not statistics.
_FEW_CELLS, _FEW_CLIPS, _FEW_ANIMALS = 50, 20, 3


def what_was_trained(store: ClipStore, split: Split, log: Mapping[str, Sequence[float]]) -> list[str]:
    """Which animals a model was trained on, for how long, and which were kept out."""
    trained, held_out = list(split.train_sessions), list(split.held_out_sessions)
    cells = sum(store.sessions[key].n_cells for key in trained if key in store.sessions)
    frames = sum(int(np.sum(np.asarray(store.sessions[key].valid))) for key in trained if key in store.sessions)
    steps = [step for step in log.get("step", ()) if math.isfinite(step)]
    sentences = [
        f"A miVAE was trained on {_count(len(trained), 'session')} of {_animals(store, trained)} "
        f"({cells:,} cells, {frames / store.frame_rate / 60:.1f} valid minutes in all)"
        + (f", for {int(max(steps)):,} steps." if steps else "."),
        f"{_count(len(held_out), 'session')} of {_animals(store, held_out)} gave no gradient and "
        f"{'was' if len(held_out) == 1 else 'were'} kept for the test: {', '.join(held_out)}."
        if held_out
        else "No animal was kept out, so nothing here says whether the model works on an animal it never saw.",
    ]
    return sentences


def outcome(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What the evaluation found, as (``good`` or ``doubt``, sentence)."""
    return [("", str(sentence)) for sentence in evaluation.summary.get("verdicts", ())]


def doubts(store: ClipStore, split: Split, evaluation: Evaluation | None) -> list[str]:
    """Reasons not to trust the figures as they stand; never empty, since one seed is always one of them."""
    found = []
    if not split.content_disjoint:
        found.append(
            "The split separates presentations, not stimulus content: the test clips' stimuli were seen in training, "
            "so the figures say nothing about new stimuli."
        )
    if not split.held_out_sessions:
        found.append("No animal was held out.")
    animals = {str(store.sessions[key].subject) for key in split.train_sessions if key in store.sessions}
    if len(animals) < _FEW_ANIMALS:
        found.append(f"Only {_count(len(animals), 'animal')} to train on; what animals share can hardly be learned.")
    poor = [key for key, stored in store.sessions.items() if stored.n_cells < _FEW_CELLS]
    if poor:
        found.append(f"Fewer than {_FEW_CELLS} cells in {', '.join(poor)}: latents of so few cells are noisy.")
    if evaluation is not None and evaluation.n_clips < _FEW_CLIPS:
        found.append(
            f"Only {evaluation.n_clips} test clips: one clip more or less moves top-1 by "
            f"{100 / max(evaluation.n_clips, 1):.0f} percentage points."
        )
    found.append("These are the figures of one seed; another seed, or another animal held out, gives others.")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _animals(store: ClipStore, keys: Sequence[str]) -> str:
    return _count(len({str(store.sessions[key].subject) for key in keys if key in store.sessions}), "animal")
