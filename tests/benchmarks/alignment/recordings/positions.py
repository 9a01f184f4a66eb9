"""Clips of a Gabor sequence, each with the picture on the screen at its middle frame.

A network that mixes frames along time can tell from a clip's padded ends at which place of its clip a frame stands.
Where clips are cut alike in every trial, that place is the position in the sequence, and would be decoded from silence.
Clips therefore start at every frame, and only the latents of one place, the middle one, are looked at: the place is the
same in all of them and tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import ClipStore, Part, Split

__all__ = ["PositionedClips", "middle_of", "positioned_clips"]

IntegerArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PositionedClips:
    """Clips of one part of a session.

    Attributes
    ----------
    session : str
        Key of the session.
    starts : ndarray of int64, (C,)
        Rows of the first frames.
    position : ndarray of int64, (C,)
        Picture of the sequence at the middle frame, from 0; never grey, which the sequence ends with.
    trial : ndarray of int64, (C,)
        Trial of each clip, from 0 in its session. Clips of one trial overlap, and are one observation.
    """

    session: str
    starts: IntegerArray
    position: IntegerArray
    trial: IntegerArray


def middle_of(clip_frames: int) -> int:
    """Place of the frame that is looked at in a clip, from 0."""
    return (clip_frames - 1) // 2


def positioned_clips(store: ClipStore, split: Split, session: str, part: Part, clip_frames: int) -> PositionedClips:
    """All clips of a part whose middle frame shows a picture."""
    stored = store.sessions[session]
    starts = split.clip_starts(stored, part, n_frames=clip_frames)
    middle = starts + middle_of(clip_frames)
    shown = ~store.blank_content[stored.content[middle]]
    starts, middle = starts[shown], middle[shown]
    # A trial is a segment of the store: half a second without samples lies between two of them.
    return PositionedClips(
        session, starts, np.asarray(stored.frame[middle]), np.asarray(stored.segment[middle], dtype=np.int64)
    )
