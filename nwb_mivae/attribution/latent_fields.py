"""Receptive fields of latents: where in the frame a session's attribution to pixels lies, latent by latent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["LatentFields", "latent_fields"]


class LatentFields(NamedTuple):
    """Receptive fields of K latents over H x W pixels; figures are NaN for latents that no pixel moves.

    ``map`` (K, H, W) float32 has its maximum at 1 (all zero where no pixel moves the latent). ``centre`` (K, 2) is the
    column and row of the centre of its energy (squares), in pixels from the middle of the first. ``extent`` (K,) is the
    share of the frame above half the maximum. ``concentration`` (K,) is the share of the energy that the strongest
    tenth of the pixels has: 0.1 for a flat map, 1 for one within a tenth of the frame.
    """

    map: npt.NDArray[np.float32]
    centre: npt.NDArray[np.float64]
    extent: npt.NDArray[np.float64]
    concentration: npt.NDArray[np.float64]


def latent_fields(per_latent: npt.NDArray[np.float32]) -> LatentFields:
    """Describe where each latent's attribution lies.

    Parameters
    ----------
    per_latent : ndarray of float32, (K, H, W)
        ``MethodAttribution.pixels_per_latent``, not negative.

    Returns
    -------
    LatentFields
        Of averages over a session's frames: where a latent looks wherever things are, not what it looks for.
    """
    latents, height, width = per_latent.shape
    largest = per_latent.max(axis=(1, 2))
    moved = largest > 0
    maps = np.zeros(per_latent.shape, dtype=np.float32)
    maps[moved] = per_latent[moved] / largest[moved, None, None]
    energy = maps[moved].astype(np.float64) ** 2
    total = energy.sum(axis=(1, 2))
    centre = np.full((latents, 2), np.nan)
    centre[moved, 0] = energy.sum(axis=1) @ np.arange(width) / total
    centre[moved, 1] = energy.sum(axis=2) @ np.arange(height) / total
    extent, concentration = np.full((2, latents), np.nan)
    extent[moved] = (maps[moved] > 0.5).mean(axis=(1, 2))
    strongest = -(-height * width // 10)
    concentration[moved] = (
        np.sort(energy.reshape(len(total), height * width), axis=1)[:, -strongest:].sum(axis=1) / total
    )
    return LatentFields(maps, centre, extent, concentration)
