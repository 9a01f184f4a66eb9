"""Metrics with their controls: what came out, beside what would have come out without knowledge."""

from nwb_mivae.evaluation.configuration import EvaluationConfiguration
from nwb_mivae.evaluation.protocol import evaluate
from nwb_mivae.evaluation.result import CONDITIONS, AcrossAnimals, ConditionMetrics, Evaluation, SessionEvaluation

__all__ = [
    "CONDITIONS",
    "AcrossAnimals",
    "ConditionMetrics",
    "Evaluation",
    "EvaluationConfiguration",
    "SessionEvaluation",
    "evaluate",
]
