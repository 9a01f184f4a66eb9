"""What encoding a clip, and differentiating it, takes in memory; and how much is done at once in a given memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nwb_mivae.model import Gaussian

__all__ = ["MEBIBYTE", "Cost", "clips_and_vectors_at_once", "encoding_cost"]

MEBIBYTE = 2**20
#: Tensors as large as the largest one that are alive at once while a vector goes back through the encoder.
_ALIVE = 4
#: Clips and vectors beyond which more of them together are not faster.
_MOST_CLIPS, _MOST_VECTORS = 8, 64


class Cost(NamedTuple):
    """Bytes that are kept for each clip, and that each vector-Jacobian product of a clip takes while it is done."""

    per_clip: int
    per_vector: int

    def vectors_at_once(self, n_clips: int, memory: float) -> int:
        """Products of ``n_clips`` clips together that fit in so many mebibytes; at least one."""
        left = memory * MEBIBYTE - n_clips * self.per_clip
        return max(1, min(_MOST_VECTORS, int(left // (n_clips * self.per_vector))))


def encoding_cost(encode: Callable[[Tensor], Gaussian], source: Tensor, *, probes: int | None = None) -> Cost:
    """Estimate from the tensors that the encoder keeps of the first clip of ``source`` (B, T, *S).

    Per clip: what is kept for the way back, and a map per probe and two more. Per vector: four times the largest of
    the tensors that are kept, and the gradient with two copies of it.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    clip = source[:1].detach().clone().requires_grad_()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoded = encode(clip)
    # Dropped only here: memory that is free again could be given to the next tensor, and counted once.
    del encoded
    maps = clip.nbytes * ((probes or 1) + 2)
    return Cost(sum(kept.values()) + maps, _ALIVE * max(kept.values(), default=0) + 3 * clip.nbytes)


def clips_and_vectors_at_once(
    costs: Sequence[Cost], memory: float, *, clips: int | None = None, vectors: int | None = None
) -> tuple[int, int]:
    """How many clips, and products of them, fit in so many mebibytes where neither is given; at least one of each.

    Parameters
    ----------
    costs : sequence of Cost
        Of all that is linearised at the same time; one after the other is differentiated.
    memory : float
        Mebibytes.
    clips, vectors : int, optional
        What is already decided.
    """
    kept = sum(cost.per_clip for cost in costs)
    total = Cost(kept, max(cost.per_vector for cost in costs))
    if clips is None:
        clips = max(1, min(_MOST_CLIPS, int(memory * MEBIBYTE // (kept + (vectors or 1) * total.per_vector))))
    return clips, vectors or total.vectors_at_once(clips, memory)
