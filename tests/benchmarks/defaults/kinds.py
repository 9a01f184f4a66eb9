"""The kinds of recording that default settings have to work for, each differing from an ordinary one in one respect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nwb_mivae.sessions.session import TraceKind
from nwb_mivae.simulation import SimulationConfiguration

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """One kind of recording, and how long is trained on it.

    Attributes
    ----------
    name, description : str
        For files and for the page.
    cells : int
        Of each animal.
    planes : int
        Over which the cells are spread; one plane of the simulation holds some 3,000.
    imaging_rate, frame_rate : float
        Hz, of the traces and of the display.
    trace_kind : {"dff", "deconvolved", "spikes"}
        What the traces are.
    trained, held_out : int
        Animals, one session each.
    minutes : float
        Length of each session.
    steps : int
        Of training; everything else about training is the default.
    test_clips : int
        At most, of each session.
    """

    name: str
    description: str
    cells: int = 200
    planes: int = 1
    imaging_rate: float = 30.0
    frame_rate: float = 30.0
    trace_kind: TraceKind = "dff"
    trained: int = 4
    held_out: int = 1
    minutes: float = 4.0
    steps: int = 200
    test_clips: int = 60

    @property
    def simulation(self) -> SimulationConfiguration:
        """What the animals see and what their cells are like."""
        per_plane = self.cells // self.planes
        return SimulationConfiguration(
            animals=self.trained + self.held_out,
            minutes=self.minutes,
            cells=(per_plane, per_plane),
            height=18,
            width=32,
            frame_rate=self.frame_rate,
            movie_seconds=5.0,
            imaging_rate=(self.imaging_rate, self.imaging_rate),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for results."""
        return asdict(self)


_EVERY = (
    Kind("ordinary", "200 cells, dF/F at 30 Hz, display at 30 Hz"),
    Kind("few_cells", "20 cells", cells=20),
    Kind(
        "many_cells",
        "8,000 cells in three planes",
        cells=7998,
        planes=3,
        trained=2,
        minutes=2.5,
        steps=40,
        test_clips=40,
    ),
    Kind("slow_imaging", "imaging at 7 Hz", imaging_rate=7.0),
    Kind("fast_display", "imaging at 30 Hz, display at 60 Hz", frame_rate=60.0),
    Kind("fast_both", "imaging and display at 60 Hz", imaging_rate=60.0, frame_rate=60.0),
    Kind("deconvolved", "deconvolved activity", trace_kind="deconvolved"),
    Kind("slow_deconvolved", "deconvolved activity, imaging at 7 Hz", trace_kind="deconvolved", imaging_rate=7.0),
    Kind("spikes", "spike counts", trace_kind="spikes"),
    Kind("few_units", "spike counts of 20 units, display at 60 Hz", cells=20, trace_kind="spikes", frame_rate=60.0),
)

#: By name.
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _EVERY}
