"""Settings of alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nwb_mivae.configuration import Configuration

if TYPE_CHECKING:
    from nwb_mivae.sessions.session import TraceKind

__all__ = ["LAG_OF_KIND", "AlignmentConfiguration"]

#: Seconds from a frame to the middle of the activity it drives, by kind of trace.
LAG_OF_KIND: dict[TraceKind, float] = {
    "dff": 0.2,
    "fluorescence": 0.2,
    "deconvolved": 0.07,
    "events": 0.07,
    "spikes": 0.07,
}


class AlignmentConfiguration(Configuration):
    """How neural activity is put on the stimulus clock.

    Attributes
    ----------
    lag : float or None
        Seconds by which activity is taken later than the frame it is matched with; 0 leaves the delay of the response
        to the model. ``None`` takes :data:`LAG_OF_KIND` for the kind of trace: the latency of the visual cortex, and
        for fluorescence half of a fast indicator's decay.
    clock_rate : float or None
        Rate, in Hz, of the regular clock on which presentations longer than ``static_longer_than`` are laid; ``None``
        is the neural sampling rate, at most 30 Hz.
    static_longer_than : float
        Seconds above which a presentation counts as a standing image instead of one frame of a movie.
    gap_factor : float
        A step of the imaging clock longer than this many median steps is a gap that nothing is interpolated across.
    jitter_tolerance : float
        Share of a frame's duration by which frames of one segment may be apart, and by which their durations may
        differ from one to the next.
    maximum_missing_share : float
        Cells with a larger share of missing (NaN or infinite) samples are left out; lost samples do not count.
    maximum_missing_cells : float
        Share of the cells of a plane. A sample that more of them miss is lost: frames that need it are masked.
    maximum_filled_gap : float
        Seconds. Other missing samples are filled between their cell's neighbours; a cell that misses a longer stretch
        is left out.
    auxiliary : tuple of str
        Auxiliary variables, in order: names of ``Session.behaviour`` and ``"time"``, seconds since the first frame.
        A variable a session does not have is constant zero there, and the report says so.
    auxiliary_gap : float
        Seconds without a known value beyond which a behavioural variable is set to its median and not interpolated.
    """

    lag: Annotated[float, Field(ge=-5.0, le=5.0)] | None = None
    clock_rate: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    static_longer_than: Annotated[float, Field(gt=0.0)] = 0.2
    gap_factor: Annotated[float, Field(gt=1.0, le=10.0)] = 1.75
    jitter_tolerance: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    maximum_missing_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.01
    maximum_missing_cells: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    maximum_filled_gap: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    auxiliary: tuple[str, ...] = ("running", "pupil", "time")
    auxiliary_gap: Annotated[float, Field(ge=0.0)] = 1.0
