"""What the model is given: clips of one session, and episodes of target clips with their context clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["ClipBatch", "Episode"]


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T consecutive stimulus frames of one session with N cells. All tensors live on one device.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    neural : Tensor, (B, T, N) float32
        Activity divided by each cell's standard deviation over the training split (Gaussian kinds also have that
        split's mean removed; counts are left as counts).
    stimulus : Tensor, (B, T, 1, H, W) float32
        Luminance in [0, 1].
    auxiliary : Tensor, (B, T, U) float32
        Auxiliary variables, standardised over the training split; U may be 0.
    coordinates : Tensor, (N, 3) float32
        Micrometres, NaN where unknown.
    content : Tensor, (B, T) int64
        Identity of each frame's pixels: equal numbers, equal pixels, across sessions.
    start : Tensor, (B,) int64
        Row of each clip's first frame in the stored session.
    """

    session: str
    neural: Tensor
    stimulus: Tensor
    auxiliary: Tensor
    coordinates: Tensor
    content: Tensor
    start: Tensor

    @property
    def n_clips(self) -> int:
        return int(self.neural.shape[0])

    @property
    def n_frames(self) -> int:
        return int(self.neural.shape[1])

    @property
    def n_cells(self) -> int:
        return int(self.neural.shape[2])

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same clips on another device."""
        return replace(
            self,
            neural=self.neural.to(device),
            stimulus=self.stimulus.to(device),
            auxiliary=self.auxiliary.to(device),
            coordinates=self.coordinates.to(device),
            content=self.content.to(device),
            start=self.start.to(device),
        )

    def of_cells(self, cells: Tensor) -> ClipBatch:
        """The same clips seen through some of the cells, by index tensor (a sub-population or a permutation)."""
        return replace(self, neural=self.neural[:, :, cells], coordinates=self.coordinates[cells])

    def of_clips(self, clips: Tensor) -> ClipBatch:
        """Some of the clips, by index tensor."""
        return replace(
            self,
            neural=self.neural[clips],
            stimulus=self.stimulus[clips],
            auxiliary=self.auxiliary[clips],
            content=self.content[clips],
            start=self.start[clips],
        )


@dataclass(frozen=True)
class Episode:
    """Target clips of a session and the context clips its cells are described from (none where it was dropped).

    Context and targets come from the training split, are disjoint in time, and no context frame shows a target's
    stimulus content.
    """

    target: ClipBatch
    context: ClipBatch | None

    def to(self, device: torch.device | str) -> Episode:
        """The same episode on another device."""
        return Episode(self.target.to(device), None if self.context is None else self.context.to(device))
