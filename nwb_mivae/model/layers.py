"""Layers that several parts of the model share: a perceptron, mixing along time, Fourier features of positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["CoordinateFeatures", "TemporalMixing", "begin_with_features", "perceptron"]


def perceptron(size_in: int, hidden: int, size_out: int) -> nn.Sequential:
    """Two linear layers with a GELU between them, on the last axis."""
    return nn.Sequential(nn.Linear(size_in, hidden), nn.GELU(), nn.Linear(hidden, size_out))


@torch.no_grad()
def begin_with_features(head: nn.Linear, n_features: int) -> None:
    """Let a head of means and log-variances begin as the leading of its last ``n_features`` inputs, variances at one.

    What comes before those inputs counts for little until training says otherwise. A model that begins where a closed
    form already is does not have to find it first.
    """
    latents, others = head.out_features // 2, head.in_features - n_features
    head.weight[:, :others] *= 0.1
    head.weight[:, others:] = 0.0
    head.bias.zero_()
    leading = torch.arange(min(latents, n_features))
    head.weight[leading, others + leading] = 1.0


class _TemporalBlock(nn.Module):
    def __init__(self, size: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.mix = nn.Conv1d(size, size, kernel, padding=kernel // 2)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2)
        change: Tensor = self.out(nn.functional.gelu(mixed))
        return x + change


class TemporalMixing(nn.Module):
    """Residual convolutions along time: ``(B, T, size_in)`` to ``(B, T, size_out)``, any T."""

    def __init__(self, size_in: int, size: int, size_out: int, *, blocks: int = 2, kernel: int = 5) -> None:
        super().__init__()
        #: Frames to either side that a frame's output depends on.
        self.reach = blocks * (kernel // 2)
        self.enter = nn.Linear(size_in, size)
        self.blocks = nn.Sequential(*(_TemporalBlock(size, kernel) for _ in range(blocks)))
        self.leave = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.blocks(self.enter(x)))  # type: ignore[no-any-return]


class CoordinateFeatures(nn.Module):
    """Fourier features of positions in micrometres, ``(N, 3)`` to ``(N, size)``; unknown (NaN) axes are marked.

    Each axis gives ``sin`` and ``cos`` of ``2 pi 2^b p / scale`` for ``b`` from 0 to ``bands - 1`` and a flag that is
    1 where the axis is known; an unknown axis gives zeros.
    """

    frequencies: Tensor

    def __init__(self, bands: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * 2.0 ** torch.arange(bands) / scale, persistent=False)
        self.size = 3 * (2 * bands + 1)

    def forward(self, coordinates: Tensor) -> Tensor:
        known = torch.isfinite(coordinates)
        phase = torch.where(known, coordinates, 0.0)[..., None] * self.frequencies
        waves = torch.cat([phase.sin(), phase.cos()], dim=-1) * known[..., None]
        return torch.cat([waves.flatten(-2), known.to(waves.dtype)], dim=-1)
