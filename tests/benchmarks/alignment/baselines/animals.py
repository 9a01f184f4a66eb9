"""Lookups between animals: what one animal's clip finds among the same clips of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import ConditionMetrics
from nwb_mivae.evaluation.conditions import mean_metrics
from tests.benchmarks.alignment.baselines.figures import SessionFigures, session_figures
from tests.benchmarks.alignment.baselines.recordings import Clips, Recording

FloatArray = npt.NDArray[np.float32]
IntegerArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Embedded:
    """One animal in a space of its own, D dimensions per frame.

    ``shown`` (C,) are the contents of its training part, increasing, and ``frames`` (C, D) its mean answer to each.
    ``queries`` (Q, T, D) are its test clips ``clips``; ``validation`` and ``test`` the first of each content, by it.
    """

    key: str
    subject: str
    held_out: bool
    shown: IntegerArray
    frames: FloatArray
    clips: Clips
    queries: FloatArray
    validation: Mapping[bytes, FloatArray]
    test: Mapping[bytes, FloatArray]

    @classmethod
    def of(
        cls,
        recording: Recording,
        embed_rows: Callable[[IntegerArray], FloatArray],
        embed_clips: Callable[[FloatArray], FloatArray],
    ) -> Embedded:
        """From functions of rows (F,) to (F, D), and of the activity of clips (Q, T, N) to (Q, T, D)."""
        rows = recording.train_rows
        shown, place, showings = np.unique(recording.content[rows], return_inverse=True, return_counts=True)
        answers = embed_rows(rows)
        frames = np.zeros((len(shown), answers.shape[1]), dtype=np.float32)
        np.add.at(frames, place, answers)
        queries = embed_clips(recording.of(recording.test))
        validation = recording.validation
        known = embed_clips(recording.of(validation)) if len(validation.rows) else queries[:0]
        return cls(
            key=recording.key,
            subject=recording.subject,
            held_out=recording.held_out,
            shown=shown,
            frames=frames / showings[:, None].astype(np.float32),
            clips=recording.test,
            queries=queries,
            validation={shown: known[clip] for shown, clip in validation.number_of.items()},
            test={shown: queries[clip] for shown, clip in recording.test.number_of.items()},
        )

    def mapped(self, change: Callable[[FloatArray], FloatArray]) -> Embedded:
        """The same animal with its space changed by a function of (..., D)."""
        return replace(
            self,
            frames=change(self.frames),
            queries=change(self.queries),
            validation={shown: change(clip) for shown, clip in self.validation.items()},
            test={shown: change(clip) for shown, clip in self.test.items()},
        )


def shared_frames(a: Embedded, b: Embedded) -> tuple[FloatArray, FloatArray]:
    """Mean answers of two animals to what both saw in their training parts, (C, D) each, in the same order."""
    _, of_a, of_b = np.intersect1d(a.shown, b.shown, assume_unique=True, return_indices=True)
    return a.frames[of_a], b.frames[of_b]


def shared_clips(a: Mapping[bytes, FloatArray], b: Mapping[bytes, FloatArray]) -> tuple[FloatArray, FloatArray] | None:
    """The clips that two animals both saw, (M, T, D) each, in the same order; None where there are fewer than two."""
    both = [shown for shown in a if shown in b]
    if len(both) < 2:
        return None
    return np.stack([a[shown] for shown in both]), np.stack([b[shown] for shown in both])


def between_animals(
    animals: Sequence[Embedded],
    compare: Callable[[Embedded, Embedded], tuple[ConditionMetrics, dict[str, Any]] | None],
) -> dict[str, SessionFigures]:
    """Figures of every animal: the mean over the trained animals that it was compared with.

    Sessions of one subject are not compared, nor are two held-out animals; a session that has no partner is left out.
    """
    found: dict[str, list[tuple[ConditionMetrics, dict[str, Any]]]] = {each.key: [] for each in animals}
    for a, b in combinations(animals, 2):
        if a.subject == b.subject or (a.held_out and b.held_out):
            continue
        compared = compare(a, b)
        if compared is None:
            continue
        for one, other in ((a, b), (b, a)):
            if not other.held_out:
                found[one.key].append(compared)
    return {
        each.key: session_figures(
            mean_metrics([figures for figures, _ in found[each.key]]),
            held_out=each.held_out,
            chosen={"pairs": [chosen for _, chosen in found[each.key]]},
        )
        for each in animals
        if found[each.key]
    }
