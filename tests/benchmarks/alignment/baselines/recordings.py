"""One animal's recording as the baselines see it: standardised activity, and the clips of each part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips import ClipStore, Part, Split, evenly
from nwb_mivae.errors import EvaluationError, StoreError
from nwb_mivae.evaluation import metrics

FloatArray = npt.NDArray[np.float32]
IntegerArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Clips:
    """Q clips of a recording, M of them different: rows, what is shown, and which different clip each is.

    ``rows`` and ``content`` are (Q, T), ``first`` (M,) the first clip of each content and ``target`` (Q,) its number.
    """

    rows: IntegerArray
    content: IntegerArray
    first: IntegerArray
    target: IntegerArray

    @classmethod
    def of(cls, content: IntegerArray, starts: IntegerArray, n_frames: int) -> Clips:
        """Clips that start at some rows of a recording that shows ``content`` (F,)."""
        rows = starts[:, None] + np.arange(n_frames)
        shown = content[rows]
        if not len(starts):
            return cls(rows, shown, starts, starts)
        return cls(rows, shown, *metrics.distinct_clips(shown))

    @property
    def number_of(self) -> dict[bytes, int]:
        """By what it shows, the first clip of each content."""
        return {self.content[clip].tobytes(): int(clip) for clip in self.first}


@dataclass(frozen=True)
class Recording:
    """One session.

    ``activity`` (F, N) is standardised over the training part, ``content`` and ``stimulus_row`` (F,) say what was
    shown. Test clips are those of :func:`nwb_mivae.evaluation.evaluate`; the clips of the validation part, on which
    everything that a baseline may choose is chosen, are cut alike; those of the training part lie side by side in
    ``train`` and overlap by half in ``train_overlapping``.
    """

    key: str
    subject: str
    held_out: bool
    frame_rate: float
    activity: FloatArray
    content: IntegerArray
    stimulus_row: IntegerArray
    train_rows: IntegerArray
    train: Clips
    train_overlapping: Clips
    validation: Clips
    test: Clips

    def of(self, clips: Clips) -> FloatArray:
        """Activity of clips, (Q, T, N)."""
        return self.activity[clips.rows]


def recordings(
    store: ClipStore, split: Split, *, clips: int | None, n_frames: int, context_clips: int | None = None
) -> Iterator[Recording]:
    """Every session that has two different test clips, held-out ones first; read one at a time to save memory.

    Of the training part only the first ``context_clips`` clips are looked at, where that is given: those which
    :func:`nwb_mivae.inference.session_context` takes ``from_start`` for as many.

    Raises
    ------
    EvaluationError
        If there is no such session.
    """
    found = False
    for key in [*split.held_out_sessions, *split.train_sessions]:
        one = _recording(store, split, key, clips=clips, n_frames=n_frames, context_clips=context_clips)
        if one is not None:
            found = True
            yield one
    if not found:
        raise EvaluationError(
            "fewer than two different test clips in every session",
            expected="at least two whole test clips in one session",
            remedy="raise split.test_fraction, or prepare longer recordings",
            file=store.path,
        )


def _recording(
    store: ClipStore, split: Split, key: str, *, clips: int | None, n_frames: int, context_clips: int | None
) -> Recording | None:
    stored = store.sessions[key]
    content = np.asarray(stored.content, dtype=np.int64)

    def cut(part: Part, stride: int) -> IntegerArray:
        return split.clip_starts(stored, part, n_frames=n_frames, stride=stride)

    try:
        test = Clips.of(content, evenly(cut("test", n_frames), clips), n_frames)
    except StoreError:
        return None
    if len(test.first) < 2:
        return None
    statistics = split.statistics(key)
    activity = np.asarray(stored.neural[:], dtype=np.float32) - statistics.mean
    activity /= statistics.scale
    train = Clips.of(content, cut("train", n_frames)[:context_clips], n_frames)
    train_rows = np.flatnonzero((split.part_of_rows(stored) == 0) & np.asarray(stored.valid)).astype(np.int64)
    overlapping = train
    if context_clips is None:
        overlapping = Clips.of(content, cut("train", max(1, n_frames // 2)), n_frames)
    else:
        train_rows = np.intersect1d(train_rows, train.rows)
    return Recording(
        key=key,
        subject=stored.subject,
        held_out=key in split.held_out_sessions,
        frame_rate=stored.frame_rate,
        activity=activity,
        content=content,
        stimulus_row=np.asarray(stored.stimulus_row, dtype=np.int64),
        train_rows=train_rows,
        train=train,
        train_overlapping=overlapping,
        validation=Clips.of(content, cut("validation", n_frames), n_frames),
        test=test,
    )
