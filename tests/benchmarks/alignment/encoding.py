"""Latents of chosen clips, under any condition: with or without context, with neurons in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import evenly, load_clips
from nwb_mivae.inference import BLOCKS, encode_clips

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nwb_mivae.clips import Split
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.clips.split import Part
    from nwb_mivae.model import Context, MiVAEModule
    from tests.benchmarks.alignment.scales import Material

__all__ = ["FUSED", "Clips", "clips_of", "encoded", "reordered"]

#: ``q(z_c | x, y)``, the product of both shared posteriors.
FUSED = "fused_shared"
_CLIPS_AT_ONCE = 64


@dataclass(frozen=True)
class Clips:
    """Some clips of one part of a session.

    ``starts`` (C,), ``rows`` (C * T,) of the stored session, and ``groups`` (C * T,): the unit of content (a movie)
    that each frame's clip is of, or one of two where it ends in the next.
    """

    session: str
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]


def clips_of(given: Material, split: Split, session: str, part: Part, count: int | None) -> Clips:
    """At most so many clips, evenly over the recording."""
    frames = given.scale.clip_frames
    stored = given.store.sessions[session]
    starts = evenly(split.clip_starts(stored, part, n_frames=frames, stride=frames), count)
    rows = (starts[:, None] + np.arange(frames)).ravel()
    # Uniform frames belong to no movie, and have unit -1.
    unit = split.unit_of_content[stored.content[rows]].reshape(len(starts), frames).max(axis=1)
    return Clips(session, starts, rows, np.repeat(unit, frames))


def reordered(batch: ClipBatch, order: npt.NDArray[np.int64]) -> ClipBatch:
    """The same clips with the activity of neuron ``order[i]`` given to neuron ``i``.

    Coordinates and context stay with their neurons; only what was recorded goes elsewhere.
    """
    return replace(batch, neural=batch.neural[:, :, torch.as_tensor(order, device=batch.neural.device)])


def encoded(
    module: MiVAEModule,
    given: Material,
    split: Split,
    clips: Clips,
    context: Context | None,
    *,
    order: npt.NDArray[np.int64] | None = None,
) -> Mapping[str, npt.NDArray[np.float64]]:
    """Posterior means (C * T, latents) of the four blocks, and of both shared ones together.

    ``order`` (N,) gives neuron ``i`` the activity of neuron ``order[i]``.
    """
    found: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in (*BLOCKS, FUSED)}
    device = next(module.parameters()).device
    for first in range(0, len(clips.starts), _CLIPS_AT_ONCE):
        some = clips.starts[first : first + _CLIPS_AT_ONCE]
        batch = load_clips(given.store, split, clips.session, some, n_frames=given.scale.clip_frames).to(device)
        if order is not None:
            batch = reordered(batch, order)
        blocks = encode_clips(module, batch, context)
        blocks[FUSED] = blocks["neural_shared"].times(blocks["stimulus_shared"])
        for name, block in blocks.items():
            found[name].append(block.mean.flatten(0, 1).cpu().numpy())
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}
