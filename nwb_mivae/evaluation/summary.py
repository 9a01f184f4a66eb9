"""What the figures say, per group of sessions and in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from nwb_mivae.evaluation.conditions import mean_metrics
from nwb_mivae.evaluation.result import CONDITIONS, AcrossAnimals, ConditionMetrics, SessionEvaluation

__all__ = ["summarise"]

#: Above chance means above it by so many standard errors of a proportion of the different clips. Showings of one clip
#: are not counted apart: reliable neurons answer them alike, so that even a meaningless map gets all or none right.
_STANDARD_ERRORS = 2.0
_NAMES = {
    "without_context": "without context of the animal",
    "untrained": "the untrained model",
    "untrained_readout": "the closed form, before training",
    "shuffled_pairs": "shuffled pairs",
    "permuted_neurons": "permuted neurons",
}


def summarise(
    sessions: Mapping[str, SessionEvaluation],
    across: Sequence[AcrossAnimals],
    *,
    content_disjoint: bool,
    left_out: Sequence[str],
) -> dict[str, Any]:
    """Means per condition over held-out and over trained sessions, and sentences that follow from them.

    Parameters
    ----------
    sessions, across
        As in :class:`~nwb_mivae.evaluation.result.Evaluation`.
    content_disjoint : bool
    left_out : sequence of str
        Sessions with too few test clips.
    """
    groups = {
        "held_out": {key: each for key, each in sessions.items() if each["held_out"]},
        "trained": {key: each for key, each in sessions.items() if not each["held_out"]},
    }
    summary: dict[str, Any] = {name: _condition_means(group) if group else None for name, group in groups.items()}
    between = {name: _between(across, held_out=name == "held_out") for name in groups}
    verdicts: list[str] = []
    for name, group in groups.items():
        words = "held out" if name == "held_out" else "trained on"
        if not group:
            verdicts.append(f"No session of an animal {words} could be evaluated.")
            continue
        clips = sum(each["conditions"]["with_context"]["n_clips"] for each in group.values())
        verdicts += _group_verdicts(summary[name], len(group), words, clips)
        if (pairs := between[name]) is not None:
            verdicts.append(
                f"Between animals {'of which one or both were held out' if name == 'held_out' else 'trained on'}, "
                f"a clip's neural latents find the same clip of the other animal in "
                f"{_percent(pairs['top1'])} of lookups (chance {_percent(pairs['chance'])}), centred R "
                f"{_number(pairs['centred_r'])}."
            )
    if not content_disjoint:
        verdicts.append(
            "The split separates presentations, not stimuli: what the test clips show was seen in training, and these "
            "figures say nothing about new stimuli."
        )
    if left_out:
        verdicts.append(f"Left out for having fewer than two different test clips: {', '.join(left_out)}.")
    return {**summary, "across": between, "verdicts": verdicts}


def _condition_means(group: Mapping[str, SessionEvaluation]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for condition in CONDITIONS:
        figures = mean_metrics([each["conditions"][condition] for each in group.values()])
        means[condition] = {**_with_ratio(figures), "sessions": len(group)}
    return means


def _between(across: Sequence[AcrossAnimals], *, held_out: bool) -> dict[str, Any] | None:
    pairs = [cast(ConditionMetrics, pair) for pair in across if pair["held_out"] == held_out]
    return {**_with_ratio(mean_metrics(pairs)), "pairs": len(pairs)} if pairs else None


def _with_ratio(figures: ConditionMetrics) -> dict[str, Any]:
    top1, chance = figures["top1"], figures["chance"]
    ratio = None if top1 is None or chance is None else top1 / chance
    return {
        "top1": top1,
        "top5": figures["top5"],
        "chance": chance,
        "ratio_to_chance": ratio,
        "paired_r": figures["paired_r"],
        "unpaired_r": figures["unpaired_r"],
        "centred_r": figures["centred_r"],
    }


def _group_verdicts(means: Mapping[str, Any], n_sessions: int, words: str, clips: int) -> list[str]:
    head = means["with_context"]
    plural = "session of an animal" if n_sessions == 1 else "sessions of animals"
    verdicts = [
        f"On {n_sessions} {plural} {words}, the clip shown is found in {_percent(head['top1'])} of lookups, "
        f"{_number(head['ratio_to_chance'], 1)} times chance ({_percent(head['chance'])}); "
        f"{_above(head, clips)}."
    ]
    for condition, name in _NAMES.items():
        figures = means[condition]
        if figures["top1"] is not None:
            verdicts.append(
                f"Animals {words}, {name}: {_percent(figures['top1'])}, "
                f"{_number(figures['ratio_to_chance'], 1)} times chance; {_above(figures, clips)}."
            )
    paired, unpaired = head["paired_r"], head["unpaired_r"]
    if paired is not None and unpaired is not None:
        verdicts.append(
            f"Animals {words}: paired R {_number(paired)} against {_number(unpaired)} between mismatched clips; "
            f"centred R {_number(head['centred_r'])}."
        )
    return verdicts


def _above(figures: Mapping[str, Any], clips: int) -> str:
    chance = figures["chance"]
    margin = _STANDARD_ERRORS * np.sqrt(chance * (1 - chance) / clips)
    return "above chance" if figures["top1"] > chance + margin else "at chance"


def _percent(value: float | None) -> str:
    return "an undefined share" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
