"""The report's sentences: what was trained on what, whether it works, and what to doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.evaluation import Evaluation

__all__ = ["doubts", "headline", "short_names", "what_was_trained"]

#: Below these, figures are said to rest on little. Judgement, not statistics.
_FEW_CELLS, _FEW_CLIPS, _FEW_ANIMALS = 50, 20, 3
_CONTROLS = ("untrained", "shuffled_pairs", "permuted_neurons")


def what_was_trained(store: ClipStore, split: Split, log: Mapping[str, Sequence[float]]) -> list[str]:
    """Which animals a model was trained on, for how long, and which were kept out."""
    trained, held_out = list(split.train_sessions), list(split.held_out_sessions)
    cells = sum(store.sessions[key].n_cells for key in trained if key in store.sessions)
    frames = sum(int(np.sum(np.asarray(store.sessions[key].valid))) for key in trained if key in store.sessions)
    names = short_names(store)
    steps = [step for step in log.get("step", ()) if math.isfinite(step)]
    sentences = [
        f"A miVAE was trained on {_count(len(trained), 'session')} of {_animals(store, trained)} "
        f"({cells:,} cells, {frames / store.frame_rate / 60:.1f} valid minutes in all)"
        + (f", for {int(max(steps)):,} steps." if steps else "."),
        f"{_count(len(held_out), 'session')} of {_animals(store, held_out)} gave no gradient and "
        f"{'was' if len(held_out) == 1 else 'were'} kept for the test: {', '.join(names[key] for key in held_out)}."
        if held_out
        else "No animal was kept out, so nothing here says whether the model works on an animal it never saw.",
    ]
    return sentences


def short_names(store: ClipStore) -> dict[str, str]:
    """What sessions are called in figures: the animal's name, with the key where an animal has several sessions."""
    subjects = [str(stored.subject) for stored in store.sessions.values()]
    return {
        key: str(stored.subject) if stored.subject and subjects.count(str(stored.subject)) == 1 else key
        for key, stored in store.sessions.items()
    }


def headline(evaluation: Evaluation) -> tuple[str, str]:
    """Whether the model works on animals it never saw, as (``good`` or ``doubt``, sentence)."""
    held_out = evaluation.summary.get("held_out")
    if not held_out or held_out["with_context"]["top1"] is None:
        return "doubt", "Whether it works on an animal it never saw cannot be said: none was held out and tested."
    head = held_out["with_context"]
    figures = (
        "given some of the animal's own recording as context, and no training on it, the right test clip is found from "
        f"neural activity in {_percent(head['top1'])} of lookups, "
        f"against {_percent(head['chance'])} by chance and {_percent(held_out['untrained']['top1'])} by the untrained "
        "model"
    )
    controls = [held_out[name]["top1"] or 0.0 for name in _CONTROLS]
    if head["top1"] <= max(_highest_by_chance(head, evaluation), *controls):
        return "doubt", f"It does not work on animals it never saw, or this test is too small to show it: {figures}."
    closed_form = held_out["untrained_readout"]["top1"] or 0.0
    if head["top1"] <= closed_form:
        return "good", (
            f"It works on animals it never saw, and the closed form alone does: {figures}; the regression that "
            f"training begins with, over the same context, finds {_percent(closed_form)}."
        )
    return "good", f"It works on animals it never saw: {figures}."


def _highest_by_chance(figures: Mapping[str, Any], evaluation: Evaluation) -> float:
    """Two standard errors of a proportion above chance."""
    chance = float(figures["chance"])
    return chance + 2 * math.sqrt(chance * (1 - chance) / max(evaluation.n_clips * figures["sessions"], 1))


def doubts(store: ClipStore, split: Split, evaluation: Evaluation | None) -> list[str]:
    """Reasons not to trust the figures as they stand; never empty, since one seed is always one of them."""
    found = []
    names = short_names(store)
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
        found.append(
            f"Fewer than {_FEW_CELLS} cells in {', '.join(names[key] for key in poor)}: so few give noisy latents, and "
            "no subpopulations can be claimed from their attribution."
        )
    if evaluation is not None:
        found += _doubtful_controls(evaluation)
        found += _nothing_by_training(evaluation)
    if evaluation is not None and evaluation.n_clips < _FEW_CLIPS:
        found.append(
            f"Only {evaluation.n_clips} test clips: one clip more or less moves top-1 by "
            f"{100 / max(evaluation.n_clips, 1):.0f} percentage points."
        )
    found.append("These are the figures of one seed; another seed, or another animal held out, gives others.")
    return found


def _nothing_by_training(evaluation: Evaluation) -> list[str]:
    held_out = evaluation.summary.get("held_out") or {}
    by_training, closed_form = (
        (held_out.get(name) or {}).get("top1") for name in ("with_context", "untrained_readout")
    )
    if by_training is None or closed_form is None or by_training > closed_form:
        return []
    return [
        "Training added nothing to finding clips in held-out animals, as far as two distances can be compared (the "
        "closed form is judged by the cosine of all features, the model by the distance set): these figures show the "
        "closed form. "
        "Judge what was learned by the other figures, such as generation, private latents and 'without context'."
    ]


def _doubtful_controls(evaluation: Evaluation) -> list[str]:
    held_out = evaluation.summary.get("held_out") or {}
    return [
        f"On held-out animals the control '{name.replace('_', ' ')}' reaches {_percent(figures['top1'])}, above chance "
        f"({_percent(figures['chance'])}): so much of the result needs no knowledge of the animal's neurons."
        for name, figures in held_out.items()
        if name in _CONTROLS
        and figures["top1"] is not None
        and figures["top1"] > _highest_by_chance(figures, evaluation)
    ]


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{100 * value:.1f} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _animals(store: ClipStore, keys: Sequence[str]) -> str:
    return _count(len({str(store.sessions[key].subject) for key in keys if key in store.sessions}), "animal")
