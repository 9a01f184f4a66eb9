"""Objects of every type of the extension, for tests of what reads them."""

from ndx_mivae.testing.mock import (
    mock_LatentSeries,
    mock_MIVAEAnnotation,
    mock_MIVAEModel,
    mock_PresentationLatents,
    mock_RoiAttributionSeries,
    mock_StimulusAttributionSeries,
    mock_TrainingSessionsTable,
    mock_UnitAttributionSeries,
)

__all__ = [
    "mock_LatentSeries",
    "mock_MIVAEAnnotation",
    "mock_MIVAEModel",
    "mock_PresentationLatents",
    "mock_RoiAttributionSeries",
    "mock_StimulusAttributionSeries",
    "mock_TrainingSessionsTable",
    "mock_UnitAttributionSeries",
]
