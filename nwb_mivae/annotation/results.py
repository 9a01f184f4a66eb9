"""Everything that is written into one file: the results of a session, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nwb_mivae.annotation.record import ModelRecord
    from nwb_mivae.attribution import SessionAttribution, SessionSubpopulations
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.evaluation import Evaluation
    from nwb_mivae.inference import SessionFingerprints, SessionLatents

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """Results of one session.

    Attributes
    ----------
    stored : StoredSession
        The session in the clip store: tells which rows of the source the cells and presentations are.
    model : ModelRecord
        The model behind the results.
    latents : SessionLatents
        Posteriors at every encoded frame.
    attribution : SessionAttribution, optional
        Latents traced back to cells and pixels.
    fingerprints : SessionFingerprints, optional
        What the model knew of each cell.
    subpopulations : SessionSubpopulations, optional
        Cells grouped by the time course of their attribution.
    evaluation : Evaluation, optional
        Figures with their controls; those of this session are written.
    """

    stored: StoredSession
    model: ModelRecord
    latents: SessionLatents
    attribution: SessionAttribution | None = None
    fingerprints: SessionFingerprints | None = None
    subpopulations: SessionSubpopulations | None = None
    evaluation: Evaluation | None = None
