"""Alignment metrics of one session: every figure with its condition, its chance level and its controls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np

from nwb_mivae.evaluation import CONDITIONS

if TYPE_CHECKING:
    from nwb_mivae.evaluation import Evaluation

__all__ = ["alignment_metrics"]

_FIGURES = ("top1", "top5", "paired_r", "unpaired_r", "centred_r")

# Without context the trained model is judged as well, with less to go on; the others say what figures cost nothing.
_NO_CONTROLS = ("with_context", "without_context")


def alignment_metrics(evaluation: Evaluation, session: str, model: Any) -> Any:
    """The table of a session's figures, or ``None`` where the evaluation has none of it."""
    rows = list(_rows(evaluation, session))
    if not rows:
        return None
    settings = {"content_disjoint": evaluation.content_disjoint, **evaluation.settings}
    return ndx_mivae.AlignmentMetricsTable.of_rows(
        rows,
        description="How well neural and stimulus latents of test clips agree, within this session and with other "
        "sessions that saw the same clips, beside chance and the controls.",
        settings=json.dumps(settings),
        model=model,
    )


def _rows(evaluation: Evaluation, session: str) -> Iterator[dict[str, Any]]:
    own = evaluation.sessions.get(session)
    if own is not None:
        order = sorted(own["conditions"], key=CONDITIONS.index)
        for condition in order:
            control = condition not in _NO_CONTROLS
            yield from _figures(own["conditions"][condition], condition, is_control=control, held_out=own["held_out"])
    for pair in evaluation.across:
        if session in (pair["a"], pair["b"]):
            other = pair["b"] if pair["a"] == session else pair["a"]
            yield from _figures(pair, "with_context", other_session=other, held_out=pair["held_out"])


def _figures(
    found: Mapping[str, Any], condition: str, *, held_out: bool, is_control: bool = False, other_session: str = ""
) -> Iterator[dict[str, Any]]:
    chance = {"top1": found["chance"], "top5": _of_five(found["chance"])}
    for metric in _FIGURES:
        yield {
            "metric": metric,
            "condition": condition,
            "is_control": is_control,
            "value": _number(found[metric]),
            "chance": _number(chance.get(metric)),
            "n_clips": found["n_clips"],
            "other_session": other_session,
            "held_out": held_out,
        }


def _of_five(chance: float | None) -> float | None:
    return None if chance is None else min(1.0, 5 * chance)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
