"""What one modality says of the other: frames from activity (decoding), activity from frames (encoding)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import Context, MiVAEModule

__all__ = ["generate_frames", "generate_traces"]


@torch.no_grad()
def generate_frames(module: MiVAEModule, batch: ClipBatch, context: Context | None) -> Tensor:
    """Frames that the activity of some clips speaks of: luminance ``(B, T, 1, H, W)`` in (0, 1).

    The stimulus encoder is not used; what cannot be known from activity is set to its prior mean.
    """
    neural = module.encode_neural(batch.neural, batch.coordinates, context, batch.auxiliary)
    shape = (*batch.neural.shape[:2], module.configuration.stimulus_private_latents)
    return module.decode_stimulus(neural.shared.mean, neural.shared.mean.new_zeros(shape))


@torch.no_grad()
def generate_traces(module: MiVAEModule, batch: ClipBatch, context: Context | None) -> Tensor:
    """Activity expected from the frames of some clips: ``(B, T, N)``, standardised as the clips' own activity is.

    The activity of the clips is not used; the animal's state enters through the auxiliary variables.
    """
    stimulus = module.encode_stimulus(batch.stimulus)
    prior = module.private_prior(batch.auxiliary, batch.coordinates)
    descriptors = module.describe(batch.coordinates, context)
    return module.decode_neural(stimulus.shared.mean, prior.mean, descriptors)
