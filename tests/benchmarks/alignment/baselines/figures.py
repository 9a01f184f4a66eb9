"""What a baseline reports: figures of every session, and what it has seen of an animal that was held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import ConditionMetrics
from nwb_mivae.evaluation.conditions import Posterior, mean_metrics


class SessionFigures(ConditionMetrics):
    """Figures of one session, and what was chosen for it on its validation part."""

    held_out: bool
    chosen: dict[str, Any]


class Baseline(TypedDict):
    """One row of the table.

    ``name`` is what the table calls it, ``seen`` a sentence on what it has seen of an animal held out from everything
    else; ``held_out`` and ``trained`` are means over those sessions (``None`` where there are none).
    """

    name: str
    seen: str
    sessions: dict[str, SessionFigures]
    held_out: ConditionMetrics | None
    trained: ConditionMetrics | None


def baseline(name: str, seen: str, sessions: Mapping[str, SessionFigures]) -> Baseline:
    """A row from its sessions."""

    def mean(group: Iterable[SessionFigures]) -> ConditionMetrics | None:
        some = [cast(ConditionMetrics, each) for each in group]
        return mean_metrics(some) if some else None

    return Baseline(
        name=name,
        seen=seen,
        sessions=dict(sessions),
        held_out=mean(each for each in sessions.values() if each["held_out"]),
        trained=mean(each for each in sessions.values() if not each["held_out"]),
    )


def session_figures(figures: ConditionMetrics, *, held_out: bool, chosen: dict[str, Any]) -> SessionFigures:
    """One session's entry."""
    return SessionFigures(held_out=held_out, chosen=chosen, **figures)


def certain(mean: npt.NDArray[np.floating]) -> Posterior:
    """A point estimate as a posterior without variance."""
    exact = np.asarray(mean, dtype=np.float32)
    return Posterior(exact, np.zeros_like(exact))
