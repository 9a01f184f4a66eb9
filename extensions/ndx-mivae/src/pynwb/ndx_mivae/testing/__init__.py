"""Objects of every type of the extension, for tests of what reads them."""

from ndx_mivae.testing.mock import (
    mock_AlignmentMetricsTable,
    mock_FunctionalFingerprints,
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_MIVAEModel,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
    mock_Subpopulations,
    mock_SubpopulationsTable,
    mock_TrainingSessionsTable,
    mock_UnitAttributionSeries,
)

__all__ = [
    "mock_AlignmentMetricsTable",
    "mock_FunctionalFingerprints",
    "mock_LatentSeries",
    "mock_MIVAEAnnotation",
    "mock_MIVAEModel",
    "mock_PresentationLatents",
    "mock_RoiAttributionSeries",
    "mock_StimulusAttributionSeries",
    "mock_Subpopulations",
    "mock_SubpopulationsTable",
    "mock_TrainingSessionsTable",
    "mock_UnitAttributionSeries",
]
