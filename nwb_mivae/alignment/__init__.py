"""Neural activity on the stimulus clock: resampling, lags, gaps, a validity mask and a report."""

from nwb_mivae.alignment.align import align
from nwb_mivae.alignment.aligned import AlignedSession, AlignmentReport, PlaneReport
from nwb_mivae.alignment.clock import shown_in_sequence
from nwb_mivae.alignment.configuration import AlignmentConfiguration
from nwb_mivae.alignment.storage import iterate_rows

__all__ = [
    "AlignedSession",
    "AlignmentConfiguration",
    "AlignmentReport",
    "PlaneReport",
    "align",
    "iterate_rows",
    "shown_in_sequence",
]
