"""The report's figures. Each function takes plain arrays and gives a matplotlib ``Figure``; no global state is kept.

Figures are narrow, with panels below one another, so that they can be read on a phone. Those of attribution have
modules of their own, and can be had from here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from nwb_mivae.report.attribution_evidence import deletion_curves, stimulus_statistics
from nwb_mivae.report.attribution_figures import (
    attribution_on_cortex,
    attribution_on_frames,
    attribution_raster,
    receptive_fields,
    subpopulations_on_cortex,
)
from nwb_mivae.report.attribution_movie import attribution_movie
from nwb_mivae.report.style import WIDTH, FloatArray, styled

__all__ = [
    "CONDITION_COLOURS",
    "attribution_movie",
    "attribution_on_cortex",
    "attribution_on_frames",
    "attribution_raster",
    "deletion_curves",
    "latents_beside_stimulus",
    "loss_curves",
    "receptive_fields",
    "retrieval_bars",
    "similarity_matrix",
    "stimulus_statistics",
    "subpopulations_on_cortex",
]

#: Okabe and Ito's colours, which colour-blind readers can tell apart; the controls are greys.
CONDITION_COLOURS = {
    "with_context": "#0072B2",
    "without_context": "#56B4E9",
    "untrained": "#777777",
    "untrained_readout": "#444444",
    "shuffled_pairs": "#AAAAAA",
    "permuted_neurons": "#CC79A7",
}

_CONDITION_NAMES = {"untrained_readout": "closed form, before training"}


@styled
def loss_curves(log: Mapping[str, Sequence[float]]) -> Figure:
    """One panel per column of the training log, over training steps.

    Parameters
    ----------
    log : mapping of str to sequence of float
        ``step`` is the horizontal axis; every other column gets a panel. NaN values are left out.
    """
    steps = np.asarray(log["step"], dtype=np.float64)
    names = [name for name in log if name != "step"]
    rows = math.ceil(len(names) / 2)
    figure = Figure(figsize=(WIDTH, 0.4 + 1.15 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        values = np.asarray(log[name], dtype=np.float64)
        known = np.isfinite(values)
        panel.plot(steps[known], values[known], color="#0072B2", linewidth=1.1, marker="." if known.sum() < 3 else "")
        panel.set_title(name.replace("_", " "), loc="left", fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in panels[len(names) :]:
        panel.remove()
    figure.supxlabel("training step", fontsize=8)
    return figure


@styled
def similarity_matrix(similarity: FloatArray, title: str) -> Figure:
    """How alike every clip's neural latents (rows) and every clip's stimulus latents (columns) are.

    Parameters
    ----------
    similarity : ndarray, (M, M)
        Centred cosine; the diagonal holds the true pairs.
    title : str
        Whose it is.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    panel = figure.subplots()
    limit = max(float(np.nanmax(np.abs(similarity))), 1e-6)
    picture = panel.imshow(similarity, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    panel.set_xlabel("test clip, from the stimulus")
    panel.set_ylabel("test clip, from neural activity")
    panel.set_title(title, loc="left")
    figure.colorbar(picture, ax=panel, label="centred cosine", shrink=0.8)
    return figure


@styled
def retrieval_bars(sessions: Mapping[str, Mapping[str, Mapping[str, float | None]]], chance: float) -> Figure:
    """Top-1 retrieval of every session under every condition, with the chance level as a line.

    Parameters
    ----------
    sessions : mapping of str to mapping of str to mapping
        By label, by condition of :data:`~nwb_mivae.evaluation.CONDITIONS`, with ``top1`` (proportion, or ``None``).
    chance : float
        Proportion.
    """
    conditions = [name for name in CONDITION_COLOURS if any(name in each for each in sessions.values())]
    thickness = 0.8 / max(len(conditions), 1)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.2 * len(sessions) * max(len(conditions), 1)), layout="constrained")
    panel = figure.subplots()
    for place, condition in enumerate(conditions):
        heights = [each.get(condition, {}).get("top1") for each in sessions.values()]
        bars = panel.barh(
            np.arange(len(sessions)) + place * thickness,
            [100 * (height or 0.0) for height in heights],
            height=thickness,
            color=CONDITION_COLOURS[condition],
            label=_CONDITION_NAMES.get(condition, condition.replace("_", " ")),
        )
        labels = ["not measured" if height is None else f"{100 * height:.0f} %" for height in heights]
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # legible across the chance line
        panel.bar_label(bars, labels, fontsize=6.5, padding=3, bbox=ground)
    panel.axvline(100 * chance, color="#D55E00", linestyle="--", linewidth=1, label=f"chance {100 * chance:.1f} %")
    panel.set_yticks(np.arange(len(sessions)) + 0.4 - thickness / 2, list(sessions))
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.margins(x=0.14)
    panel.set_xlabel("% of clips found")
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    return figure


@styled
def latents_beside_stimulus(
    neural: FloatArray,
    stimulus: FloatArray,
    frames: npt.NDArray[np.uint8],
    shown: npt.NDArray[np.int64],
    borders: npt.NDArray[np.int64],
    frame_rate: float,
    title: str,
) -> Figure:
    """Shared latents from neural activity and from the stimulus over time, below frames of what was shown.

    Parameters
    ----------
    neural, stimulus : ndarray, (F, K)
        Posterior means, standardised per latent.
    frames : ndarray of uint8, (P, H, W)
        Frames shown at positions ``shown``.
    shown : ndarray of int64, (P,)
        Positions in 0..F-1 of ``frames``.
    borders : ndarray of int64
        Positions at which time jumps (another clip begins).
    frame_rate : float
        Frames per second.
    """
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    layout = figure.add_gridspec(3, len(frames), height_ratios=(0.7, 1.6, 1.6))
    for place, frame in enumerate(frames):
        picture = figure.add_subplot(layout[0, place])
        picture.imshow(frame, cmap="gray", vmin=0, vmax=255, aspect="equal")
        picture.set_title(f"{shown[place] / frame_rate:.1f} s", fontsize=6.5, pad=2)
        picture.set_axis_off()
    seconds = len(neural) / frame_rate
    panels = [figure.add_subplot(layout[row, :]) for row in (1, 2)]
    for panel, values, name in zip(panels, (neural, stimulus), ("from neurons", "from stimulus"), strict=True):
        heat = panel.imshow(
            values.T,
            cmap="RdBu_r",
            vmin=-2.5,
            vmax=2.5,
            aspect="auto",
            interpolation="nearest",
            extent=(0, seconds, values.shape[1] + 0.5, 0.5),
        )
        for border in borders:
            panel.axvline(border / frame_rate, color="black", linewidth=0.6)
        panel.set_ylabel(f"latent\n{name}", fontsize=8)
    panels[0].set_title(title, loc="left", fontsize=8)
    panels[0].tick_params(labelbottom=False)
    panels[1].set_xlabel("seconds of test clips, laid side by side")
    figure.colorbar(heat, ax=panels, label="standard deviations", shrink=0.7)
    return figure
