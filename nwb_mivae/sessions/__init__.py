"""NWB files in, sessions out: the only room that knows where a recording lies in a file."""

from nwb_mivae.sessions.configuration import BaselineConfiguration, SessionsConfiguration, UnitQuality
from nwb_mivae.sessions.description import describe
from nwb_mivae.sessions.grouping import SourceGroup, find_groups, group_sources
from nwb_mivae.sessions.reader import read_session
from nwb_mivae.sessions.session import (
    CELL_COLUMNS,
    PRESENTATION_COLUMNS,
    BehaviourSeries,
    Finding,
    Granularity,
    MultiPlaneTraces,
    Provenance,
    SampledTraces,
    Session,
    SpikeTrains,
    Template,
    TraceCandidate,
    TraceKind,
    Traces,
)

__all__ = [
    "CELL_COLUMNS",
    "PRESENTATION_COLUMNS",
    "BaselineConfiguration",
    "BehaviourSeries",
    "Finding",
    "Granularity",
    "MultiPlaneTraces",
    "Provenance",
    "SampledTraces",
    "Session",
    "SessionsConfiguration",
    "SourceGroup",
    "SpikeTrains",
    "Template",
    "TraceCandidate",
    "TraceKind",
    "Traces",
    "UnitQuality",
    "describe",
    "find_groups",
    "group_sources",
    "read_session",
]
