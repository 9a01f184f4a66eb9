"""What an evaluation found, as plain JSON: every figure beside its chance level and its controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any, TypedDict

from nwb_mivae.errors import EvaluationError, OutputError
from nwb_mivae.outputs import read_json, write_json

__all__ = ["CONDITIONS", "AcrossAnimals", "ConditionMetrics", "Evaluation", "SessionEvaluation"]

#: Every session is judged under these, in this order; the last four are controls.
CONDITIONS = (
    "with_context",
    "without_context",
    "untrained",
    "untrained_readout",
    "shuffled_pairs",
    "permuted_neurons",
)


class ConditionMetrics(TypedDict):
    """Figures of one session under one condition; ``None`` where a figure is not defined.

    ``top1`` and ``top5`` are proportions of the test clips, ``chance`` is what ``top1`` is worth without knowledge
    (one over the number of different clips) and ``n_clips`` that number. The three correlations are those of
    :mod:`nwb_mivae.evaluation.metrics`.
    """

    top1: float | None
    top5: float | None
    chance: float | None
    n_clips: int
    paired_r: float | None
    unpaired_r: float | None
    centred_r: float | None


class SessionEvaluation(TypedDict):
    """One session: whether its animal was held out, its cells, and its figures by condition."""

    held_out: bool
    subject: str
    n_cells: int
    conditions: dict[str, ConditionMetrics]


class AcrossAnimals(TypedDict):
    """Two animals that saw the same clips: ``z_xc`` of ``a`` looked up among ``z_xc`` of ``b``, and back, averaged.

    ``held_out`` is true where at least one of the two animals was held out.
    """

    a: str
    b: str
    held_out: bool
    top1: float | None
    top5: float | None
    chance: float | None
    n_clips: int
    paired_r: float | None
    unpaired_r: float | None
    centred_r: float | None


@dataclass(frozen=True)
class Evaluation:
    """Metrics with their controls.

    Attributes
    ----------
    chance : float
        Mean over sessions of the top-1 chance level; ``1 / n_clips`` where all sessions have as many test clips.
    n_clips : int
        Number of different test clips of the session that has fewest.
    content_disjoint : bool
        False where the split separates presentations only, so that test stimuli were seen in training: figures then
        say nothing about new stimuli.
    sessions : mapping of str to SessionEvaluation
    across : list of AcrossAnimals
    similarity : mapping of str to list of list of float
        By session, the M x M centred cosine between ``z_xc`` (rows) and ``z_yc`` (columns) of its different test
        clips, for the held-out sessions, or for the first session where none is held out.
    active_units : mapping of str to int
        By latent block, how many latents carry information.
    summary : mapping
        ``held_out`` and ``trained`` (per condition ``top1``, ``top5``, ``chance``, ``ratio_to_chance``,
        ``centred_r``, ``sessions``; ``None`` where there is no such session), ``across`` likewise, and ``verdicts``,
        a list of plain sentences.
    settings : mapping
        Configuration and seed.
    weights_sha256 : str
        Digest of the weights that were judged; empty where unknown.
    """

    chance: float
    n_clips: int
    content_disjoint: bool
    sessions: Mapping[str, SessionEvaluation]
    across: list[AcrossAnimals]
    similarity: Mapping[str, list[list[float]]]
    active_units: Mapping[str, int]
    summary: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON-able values."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def save(self, path: str | PathLike[str]) -> None:
        """Write a JSON file, whole or not at all."""
        write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Evaluation:
        """Read what :meth:`save` wrote.

        Raises
        ------
        EvaluationError
            If the file is missing, is not JSON, or holds no evaluation.
        """
        expected, remedy = "a JSON file written by Evaluation.save", "evaluate again"
        try:
            values = read_json(path)
        except OutputError as problem:
            raise EvaluationError(problem.found, expected=expected, remedy=remedy, file=path) from problem
        names = {each.name for each in fields(cls)}
        # Earlier ones did not say which weights they are of.
        if not isinstance(values, dict) or {*values, "weights_sha256"} != names:
            raise EvaluationError("JSON that is no evaluation", expected=expected, remedy=remedy, file=path)
        return cls(**values)
