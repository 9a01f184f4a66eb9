"""Latents of clips and of whole sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import PARTS, load_clips
from nwb_mivae.errors import ModelError
from nwb_mivae.inference.latents import BLOCKS, LatentBlock, SessionLatents

if TYPE_CHECKING:
    from collections.abc import Callable

    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import Context, Gaussian, MiVAEModule

__all__ = ["encode_clips", "session_latents"]


@torch.no_grad()
def encode_clips(module: MiVAEModule, batch: ClipBatch, context: Context | None) -> dict[str, Gaussian]:
    """Posteriors of the four blocks for some clips, each ``(B, T, latents)``, keyed as in ``BLOCKS``."""
    neural = module.encode_neural(batch.neural, batch.coordinates, context, batch.auxiliary)
    stimulus = module.encode_stimulus(batch.stimulus)
    return {
        "neural_shared": neural.shared,
        "neural_private": neural.private,
        "stimulus_shared": stimulus.shared,
        "stimulus_private": stimulus.private,
    }


def session_latents(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    session: str,
    context: Context | None,
    *,
    batch_clips: int = 64,
    weights_sha256: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> SessionLatents:
    """Latents of every clip of a session that lies wholly in one part of the split, on the session's clock.

    Clips do not overlap; uniform frames that could end a clip of one part and begin one of another count once, in
    the earlier. Frames that belong to no whole clip of one part (at the ends of segments, or where parts
    meet) have no latents. ``weights_sha256`` is what :func:`~nwb_mivae.model.weights_digest` says of the module's
    folder; it is kept with the result.

    Raises
    ------
    ModelError
        If the session holds no whole clip.
    """
    frames = module.shape.clip_frames
    stored = store.sessions[session]
    parts = [split.clip_starts(stored, part, n_frames=frames, stride=frames) for part in PARTS]
    starts = np.concatenate(parts)
    if len(starts) == 0:
        raise ModelError(
            "no clip to encode",
            expected=f"at least one run of {frames} frames of known stimulus",
            remedy="prepare the session with shorter clips, or look at its alignment report",
            file=store.path,
            object_path=session,
        )
    part_of_clip = np.repeat(range(len(PARTS)), [len(part) for part in parts])
    order = _without_overlap(starts, frames)
    starts, part_of_clip = starts[order], part_of_clip[order]
    device = next(module.parameters()).device
    means: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in BLOCKS}
    variances: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in BLOCKS}
    for first in range(0, len(starts), batch_clips):
        batch = load_clips(store, split, session, starts[first : first + batch_clips], n_frames=frames)
        for name, block in encode_clips(module, batch.to(device), context).items():
            means[name].append(block.mean.flatten(0, 1).cpu().numpy())
            variances[name].append(block.variance.flatten(0, 1).cpu().numpy())
        if progress is not None:
            progress(f"latents of {session}", min(first + batch_clips, len(starts)), len(starts))
    rows = (starts[:, None] + np.arange(frames)).ravel()
    seen = 0 if context is None else context.n_frames
    return SessionLatents(
        session=session,
        time=np.asarray(stored.time[rows], dtype=np.float64),
        stop_time=np.asarray(stored.stop_time[rows], dtype=np.float64),
        row=rows.astype(np.int64),
        presentation=np.asarray(stored.presentation[rows], dtype=np.int64),
        clip=np.repeat(np.arange(len(starts)), frames),
        part=np.repeat(part_of_clip, frames).astype(np.int8),
        blocks={name: LatentBlock(np.concatenate(means[name]), np.concatenate(variances[name])) for name in BLOCKS},
        context={"clips": seen // frames, "minutes": seen / store.frame_rate / 60},
        weights_sha256=weights_sha256,
    )


def _without_overlap(starts: npt.NDArray[np.int64], frames: int) -> npt.NDArray[np.int64]:
    """Which clips to take, in order of time, so that none begins before the one before it ends."""
    taken: list[int] = []
    for number in np.argsort(starts, kind="stable").tolist():
        if not taken or starts[number] >= starts[taken[-1]] + frames:
            taken.append(number)
    return np.asarray(taken, dtype=np.int64)
