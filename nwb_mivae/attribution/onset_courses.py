"""Time courses of the attribution to cells around onsets of the stimulus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.configuration import AttributionConfiguration, BlockName, SubpopulationConfiguration
from nwb_mivae.attribution.onsets import find_onsets, has_strong_edges
from nwb_mivae.attribution.tracing import TrainedModel, attribute_clips
from nwb_mivae.clips import evenly
from nwb_mivae.model import ContextTiming

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.model import MiVAEModule

    Progress = Callable[[str, int, int], None]

__all__ = ["ONSET_METHOD", "OnsetCourses", "onset_courses"]

#: What subpopulations found from such time courses say they are by.
ONSET_METHOD = "gradient_x_input around onsets"

#: How often activity, or maps of it, are in memory at once.
_COPIES = 5
#: Onsets below which there is nothing to halve.
_LEAST_ONSETS = 8
#: Onsets after a uniform field, above which no others are taken.
_ENOUGH_FROM_REST = 32


@dataclass(frozen=True)
class OnsetCourses:
    """Attribution of E onsets, at B frames around each, to N cells.

    Attributes
    ----------
    session : str
        Key of the session.
    values : ndarray of float32, (E, B, N)
        Not negative: gradient x input of the posterior means against rest, root of the sum of squares over latents.
    row : ndarray of int64, (E,)
        Row of the onset in the stored session.
    content : ndarray of int64, (E,)
        What appeared: identity of the first frame's pixels.
    strong_edges : ndarray of bool, (E,)
        See :func:`~nwb_mivae.attribution.onsets.has_strong_edges`.
    time : ndarray of float64, (B,)
        Start of each frame in seconds from the onset, increasing.
    n_available : int
        Onsets of the session that they were chosen from.
    """

    session: str
    values: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64]
    content: npt.NDArray[np.int64]
    strong_edges: npt.NDArray[np.bool_]
    time: npt.NDArray[np.float64]
    n_available: int


def onset_courses(
    model: TrainedModel,
    session: str,
    *,
    of: BlockName = "shared",
    latents: Sequence[int] | None = None,
    context: bool = True,
    configuration: SubpopulationConfiguration | None = None,
    progress: Progress | None = None,
) -> OnsetCourses | None:
    """Attribute a session's cells around the onsets of its stimulus, in whatever part of the split they lie.

    How a cell's activity moves the latents is nearly the same at all times; when it does so is told by its
    activity, of which only what exceeds the cell's rest counts. So the time course of a cell's attribution is that of
    its activity, in so far as the latents rely on it. Frames at the ends of a clip stand for those beyond it, which the
    encoder cannot see; clips overlap, so that only frames from their middles are taken.

    Where enough onsets follow a uniform field, only these are taken. Onsets of the training part count as well: the
    form of a time course is none of the figures that training or context could make look better than they are.

    Parameters
    ----------
    model : MiVAE or TrainedRun
    session : str
        Key of the session.
    of : {"shared", "private"}
        Which latents.
    latents : sequence of int, optional
        Numbers of some of them; all by default.
    context : bool
        Whether cells are read with the context of the animal's own recording.
    configuration : SubpopulationConfiguration, optional
    progress : callable, optional
        Told ``(description, done, total)``.

    Returns
    -------
    OnsetCourses or None
        None where the session has fewer than eight onsets around which activity is known.
    """
    settings = configuration or SubpopulationConfiguration()
    stored, module = model.store.sessions[session], model.module
    rate, frames = stored.frame_rate, module.shape.clip_frames
    edge = _edge(module)
    step = frames - 2 * edge
    offsets = np.arange(-round(settings.seconds_before * rate), max(1, round(settings.seconds_after * rate)))
    # The first inner frame of each clip, from the onset; the last clip ends with the window or goes beyond it.
    inner = np.arange(offsets[0], offsets[-1] + 1, step)
    onsets = find_onsets(model.store, stored)
    whole = onsets[_surrounded(stored, onsets + inner[0] - edge, onsets + inner[-1] - edge + frames)]
    if len(whole) < _LEAST_ONSETS:
        return None
    # After a uniform field cells start from rest; after another picture, from their answer to that one.
    from_rest = whole[model.store.blank_content[stored.content[whole - 1]]]
    if len(from_rest) >= _ENOUGH_FROM_REST:
        whole = from_rest
    per_onset = _COPIES * 4 * stored.n_cells * len(inner) * frames
    fitting = max(_LEAST_ONSETS, int(settings.memory * 2**20 // per_onset))
    taken = evenly(whole, min(settings.onsets or len(whole), fitting))
    starts = (taken[:, None] + inner - edge).ravel()
    # How far a cell's activity above rest moves the latents, whatever the direction.
    by = AttributionConfiguration(
        methods=("gradient_x_input",),
        of=of,
        latents=None if latents is None else tuple(latents),
        context=context,
        to=("neurons",),
        quantity="mean",
        baseline="rest",
        memory=settings.memory,
    )
    found = attribute_clips(model, session, starts, by, n_available=len(whole), progress=progress)
    maps = found.maps("gradient_x_input").reshape(len(taken), len(inner), frames, -1)
    courses = maps[:, :, edge : frames - edge].reshape(len(taken), len(inner) * step, -1)[:, : len(offsets)]
    return OnsetCourses(
        session=session,
        values=np.ascontiguousarray(courses),
        row=taken,
        content=np.asarray(stored.content[taken]),
        strong_edges=has_strong_edges(model.store, stored, taken),
        time=offsets / rate,
        n_available=len(whole),
    )


def _edge(module: MiVAEModule) -> int:
    """Frames at either end of a clip that stand for frames beyond it."""
    offsets = ContextTiming.of(module.configuration, module.shape.frame_rate).offsets
    return min(max(abs(offset) for offset in offsets), (module.shape.clip_frames - 1) // 2)


def _surrounded(
    stored: StoredSession, first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether activity is known at all rows from ``first`` up to ``end``, and they lie in one stretch."""
    inside = (first >= 0) & (end <= stored.n_frames)
    first, last = np.clip(first, 0, stored.n_frames - 1), np.clip(end, 1, stored.n_frames) - 1
    known = np.concatenate([[0], np.cumsum(stored.valid)])
    return np.asarray(
        inside & (known[last + 1] - known[first] == last + 1 - first) & (stored.segment[first] == stored.segment[last])
    )
