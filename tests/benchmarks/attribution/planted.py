"""What was planted in a held-out animal, in the order of the store's cells, and which cells drive which latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import load_clips
from tests.benchmarks.alignment.indicator import as_seen_by_indicator

if TYPE_CHECKING:
    from nwb_mivae.model import MiVAEModule
    from tests.benchmarks.alignment.scales import Material

__all__ = ["DRIVEN", "Planted", "cells_by_latent", "planted"]

#: Absolute correlation of noise-free drive with a stimulus latent, from which on a cell counts as one that tells of it.
DRIVEN = 0.2
_CLIPS_AT_ONCE = 64

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Planted:
    """Truth of N cells and H x W pixels.

    ``subpopulation`` (N,) str, ``not_visual`` where no stimulus drives the cell; ``visual`` (N,); ``private`` (N,),
    cells that running, arousal or the network modulate; ``driving_pixels`` (H, W); ``drive`` (F, N), what the stimulus
    alone does to each cell at the F stored frames, as the indicator blurs and alignment shifts it.
    """

    subpopulation: npt.NDArray[np.str_]
    visual: _Mask
    private: _Mask
    driving_pixels: _Mask
    drive: npt.NDArray[np.float32]


def planted(given: Material, session: str) -> Planted:
    """Read the truth of one session."""
    stored, truth = given.store.sessions[session], given.truth(session)
    cells = stored.cells["source_row"].to_numpy()
    place = np.searchsorted(truth["frame_time"], stored.time + 1e-4, side="right") - 1
    drive = as_seen_by_indicator(
        truth["drive"][:, cells], stored.frame_rate, float(stored.report["lag"]), normalised=True
    )[place]
    return Planted(
        subpopulation=truth["subpopulation"][cells],
        visual=truth["drivers"][cells, 0],
        private=truth["drivers"][cells, 1:].any(axis=1),
        driving_pixels=truth["driving_pixels"],
        drive=drive.astype(np.float32),
    )


@torch.no_grad()
def cells_by_latent(
    module: MiVAEModule, given: Material, session: str, truth: Planted, starts: npt.NDArray[np.int64]
) -> _Mask:
    """Whether each visual cell's noise-free drive goes with each stimulus latent over test clips, (K, N).

    The correlation is that of ``drive`` with the posterior mean of ``z_yc``, over the frames of the clips; its sign
    does not count, since that of a latent is arbitrary.
    """
    frames = given.scale.clip_frames
    rows = (starts[:, None] + np.arange(frames)).ravel()
    latents = []
    for first in range(0, len(starts), _CLIPS_AT_ONCE):
        some = starts[first : first + _CLIPS_AT_ONCE]
        batch = load_clips(given.store, given.split, session, some, n_frames=frames)
        latents.append(module.encode_stimulus(batch.stimulus).shared.mean.flatten(0, 1).numpy())
    correlation = _standardised(np.concatenate(latents)).T @ _standardised(truth.drive[rows]) / len(rows)
    return (np.abs(correlation) >= DRIVEN) & truth.visual


def _standardised(series: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Columns of mean 0 and variance 1; zeros where one is constant."""
    centred = series.astype(np.float64) - series.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.where(spread > 0, centred / np.where(spread > 0, spread, 1.0), 0.0)
