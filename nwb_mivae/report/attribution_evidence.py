"""Figures of what attribution is worth: whether it follows the stimulus, and whether what it names matters.

Each function takes plain arrays and gives a matplotlib ``Figure``; its docstring says what good and bad look like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nwb_mivae.report.style import COLOURS, WIDTH, FloatArray, styled

__all__ = ["deletion_curves", "stimulus_statistics"]

_NULL_COLOURS = ("#56B4E9", "#E69F00", "#009E73")
_BINS = 60


@styled
def stimulus_statistics(effects: Mapping[str, Mapping[str, Any]], *, effect: str = "correlation") -> Figure:
    """Whether attribution to pixels follows statistics of the stimulus, each against its null distributions.

    Good: the point with its interval lies clear of every null, and the corrected p-values are small. Bad: it lies
    within one of them. Clear of spatially shifted maps alone says little: attribution and statistic may merely lie in
    the same part of every frame, which only the null of another clip accounts for.

    Parameters
    ----------
    effects : mapping of str to mapping
        By statistic, for example ``edge_strength``: ``effect``, its confidence interval ``low`` and ``high``, ``p``
        (corrected p-value by null) and ``null`` (values under the null by its name). NaN or missing where not measured.
    effect : str
        What the effect is, for the axis.
    """
    nulls = list(dict.fromkeys(name for each in effects.values() for name in each.get("null", {})))
    figure = Figure(figsize=(WIDTH, 1.0 + 0.2 * len(nulls) + 0.78 * max(len(effects), 1)), layout="constrained")
    panel = figure.subplots()
    bins = _bins(effects)
    for place, each in enumerate(effects.values()):
        for number, name in enumerate(nulls):
            counts, edges = np.histogram(_known(each.get("null", {}).get(name, ())), bins)
            top = counts.max()
            heights = 0.36 * counts / top if top else np.zeros(len(counts))
            panel.fill_between(
                edges,
                place,
                place - np.append(heights, heights[-1]),
                step="post",
                color=_NULL_COLOURS[number % len(_NULL_COLOURS)],
                alpha=0.55,
                linewidth=0,
                label=f"null: {_in_words(name)}" if place == 0 else None,
            )
        panel.axhline(place, color="#CCCCCC", linewidth=0.5, zorder=0)
        values = [float(each.get(name, math.nan)) for name in ("low", "high", "effect")]
        panel.plot(values[:2], [place, place], color="black", linewidth=1.8, solid_capstyle="butt")
        panel.plot(values[2:], [place], color="black", marker="o", markersize=5, linestyle="")
        text = "   ".join(f"{_p_value(each.get('p', {}).get(name))} ({_in_words(name)})" for name in nulls)
        if not math.isfinite(values[2]):
            text = "not measured"
        panel.annotate(
            text, (0, place), (2, -4), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=7,
            verticalalignment="top", color="#333333", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    panel.axvline(0, color="#777777", linewidth=0.7, zorder=0)
    panel.set_xlim(bins[0], bins[-1])
    panel.set_ylim(max(len(effects), 1) - 0.5, -0.6)
    panel.set_yticks(range(len(effects)), [_in_words(name).replace(" ", "\n", 1) for name in effects])
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.set_xlabel(f"{effect} with attribution (point and line: effect and its confidence interval)", fontsize=7.5)
    if nulls and effects:
        figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    return figure


def _bins(effects: Mapping[str, Mapping[str, Any]]) -> FloatArray:
    """Bins that hold zero and everything that is drawn, so that widths can be compared between statistics."""
    drawn: list[FloatArray] = [np.zeros(1)]
    for each in effects.values():
        drawn += [_known(values) for values in each.get("null", {}).values()]
        drawn.append(_known([each.get(name, math.nan) for name in ("effect", "low", "high")]))
    values = np.concatenate(drawn)
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.1
    return np.linspace(low - margin, high + margin, _BINS + 1)


def _known(values: Any) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def _p_value(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "p unknown"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def _in_words(name: str) -> str:
    return name.replace("_", " ")


@styled
def deletion_curves(
    curves: Mapping[str, tuple[FloatArray, FloatArray, FloatArray | None]],
    *,
    removed: str = "% of cells silenced, strongest first",
    remaining: str = "what remains of the latents",
) -> Figure:
    """What remains after more and more of what a method calls important was taken away.

    Good: a curve that falls sooner than that of random order, and falls far. Bad: a curve along the random one (the
    method names nothing that matters) or above it (it names what matters least).

    Parameters
    ----------
    curves : mapping of str to (x, y, spread)
        By method. ``x`` is the share taken away, 0 to 1; ``y`` what remains; ``spread`` its standard error or
        deviation, drawn as a band about it, or ``None``. A method named ``random`` is drawn in grey, as what the others
        are held against.
    removed, remaining : str
        What the axes are.
    """
    figure = Figure(figsize=(WIDTH, 3.4 + 0.18 * math.ceil(len(curves) / 2)), layout="constrained")
    panel = figure.subplots()
    colours = iter([*COLOURS] * math.ceil(max(len(curves), 1) / len(COLOURS)))
    markers = iter([*"os^Dv<>P"] * math.ceil(max(len(curves), 1) / 8))
    for method, (x, y, spread) in curves.items():
        random = method == "random"
        colour, marker = ("#777777", "") if random else (next(colours), next(markers))
        share, height = 100 * np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if spread is not None:
            band = np.asarray(spread, dtype=np.float64)
            panel.fill_between(share, height - band, height + band, color=colour, alpha=0.2, linewidth=0)
        panel.plot(
            share,
            height,
            color=colour,
            marker=marker,
            markersize=3.5,
            linewidth=1.3,
            linestyle="--" if random else "-",
            label=_in_words(method),
        )
    panel.set_xlabel(removed)
    panel.set_ylabel(remaining)
    if curves:
        figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    return figure
