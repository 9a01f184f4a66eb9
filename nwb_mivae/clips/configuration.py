"""Settings of the clip store, of the split and of the episodes drawn from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["ClipsConfiguration", "EpisodeConfiguration", "SplitConfiguration"]


class ClipsConfiguration(Configuration):
    """How aligned sessions are stored.

    Attributes
    ----------
    height, width : int
        Pixels of the stored frames. Templates are averaged over areas when made smaller and interpolated linearly
        when made larger; a template of another aspect ratio is stretched, never cropped, so that every pixel of the
        store belongs to a known place of the screen.
    neural_type : str
        ``"float16"`` halves the store; a session whose activity would lose more than a hundredth of a standard
        deviation by it is kept as ``"float32"``, and its report says so.
    blank_luminance : int
        Grey, 0 to 255, shown where a presentation is blank.
    """

    height: Annotated[int, Field(ge=4, le=2160)] = 36
    width: Annotated[int, Field(ge=4, le=4096)] = 64
    neural_type: Literal["float16", "float32"] = "float16"
    blank_luminance: Annotated[int, Field(ge=0, le=255)] = 128


class SplitConfiguration(Configuration):
    """What is held out.

    Attributes
    ----------
    held_out : list of str, int or None
        Subjects that give no gradient: their names, how many to draw, or ``None`` for one where there are three
        subjects or more and none otherwise.
    test_fraction, validation_fraction : float
        Share of the units of stimulus content each session shows that is held out.
    by : str
        ``"content"``: no frame of a test clip is shown in training. ``"presentation"``: for sessions that show one
        thing over and over; single showings are held out, and the same pixels are seen in training.
    block_frames : int
        Length of a unit of content where movies are few and so are cut into blocks.
    seed : int
        Draws subjects and content.
    """

    held_out: list[str] | Annotated[int, Field(ge=0)] | None = None
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    validation_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    by: Literal["content", "presentation"] = "content"
    block_frames: Annotated[int, Field(ge=1)] = 64
    seed: Annotated[int, Field(ge=0)] = 0


class EpisodeConfiguration(Configuration):
    """What one training step is given.

    Attributes
    ----------
    clip_frames : int
        Frames of a clip, T.
    clips_per_session : int
        Target clips of each session drawn.
    sessions_per_step : int
        Different sessions drawn (all of them where there are fewer).
    context_clips : int
        Context clips of each session drawn (fewer where the training part has no more).
    context_dropout : float
        Probability that an episode has no context.
    cells_per_session : int or None
        Cells drawn of each session; ``None`` is all of them.
    training_clips : int or None
        Use no more of each session's training part than so many clips that do not overlap, the first ones: what a
        shorter recording would have given. ``None`` uses all of it.
    """

    clip_frames: Annotated[int, Field(ge=1)] = 16
    clips_per_session: Annotated[int, Field(ge=1)] = 16
    sessions_per_step: Annotated[int, Field(ge=1)] = 2
    context_clips: Annotated[int, Field(ge=0)] = 64
    context_dropout: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    cells_per_session: Annotated[int, Field(ge=1)] | None = None
    training_clips: Annotated[int, Field(ge=1)] | None = None
