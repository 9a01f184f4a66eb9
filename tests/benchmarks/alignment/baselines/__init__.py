"""Baselines: what simpler methods make of the same test clips, each with a sentence on what it has seen."""

from tests.benchmarks.alignment.baselines.figures import Baseline, SessionFigures
from tests.benchmarks.alignment.baselines.table import baselines

__all__ = ["Baseline", "SessionFigures", "baselines"]
