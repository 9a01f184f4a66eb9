"""Latents over time: one series per block, and the table of the frames they are of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np
from hdmf.common import VectorData
from pynwb.epoch import TimeIntervals

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.names import ENCODED_FRAMES, PARTS
from nwb_mivae.annotation.objects.arrays import compressed

if TYPE_CHECKING:
    from nwb_mivae.inference.latents import SessionLatents

__all__ = ["encoded_frames", "latent_series"]

_BLOCK_WORDS = {
    "neural_shared": "what animals share, driven by the stimulus, from neural activity",
    "neural_private": "what belongs to this animal and session, from neural activity",
    "stimulus_shared": "what of the stimulus the neurons carry, from the stimulus",
    "stimulus_private": "the rest of the stimulus, from the stimulus",
}


def latent_series(latents: SessionLatents, model: Any, backend: Backend) -> Iterator[Any]:
    """One ``LatentSeries`` per block; the first holds the timestamps, the others link to them."""
    timestamps: Any = np.asarray(latents.time, dtype=np.float64)
    for name, block in latents.blocks.items():
        series = ndx_mivae.LatentSeries(
            name=f"latents_{name}",
            description=f"Posterior mean and variance of the {name.replace('_', ' ')} latents: {_BLOCK_WORDS[name]}. "
            "One sample per encoded stimulus frame, at its onset.",
            data=compressed(block.mean, backend),
            variance=compressed(block.variance, backend),
            timestamps=timestamps,
            space=name,
            model=model,
        )
        timestamps = series
        yield series


def encoded_frames(latents: SessionLatents, backend: Backend) -> TimeIntervals:
    """The frames latents were computed for: when, in which clip, in which part of the split."""
    columns = {
        "start_time": ("Onset of the frame, in seconds.", backend.compressed(latents.time)),
        "stop_time": ("End of the frame, in seconds.", backend.compressed(latents.stop_time)),
        "clip": (
            "Number of the clip the frame was encoded in; frames of one clip are consecutive.",
            backend.compressed(latents.clip),
        ),
        "split": (
            "Part of the split by stimulus: 'train' (also the context), 'validation' or 'test'.",
            [PARTS[part] for part in latents.part],
        ),
    }
    return TimeIntervals(
        name=ENCODED_FRAMES,
        description="Stimulus frames that latents were computed for, in the order of the latents.",
        columns=[
            VectorData(name=name, description=description, data=data) for name, (description, data) in columns.items()
        ],
        id=np.arange(len(latents.row)),  # hdmf's own would be a list, converted number by number
    )
