"""Figures of attribution: on movie frames, over cells and time, where cells lie in cortex, and by latent.

Each function takes plain arrays and gives a matplotlib ``Figure``; its docstring says what good and bad look like.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from nwb_mivae.errors import AttributionError
from nwb_mivae.report.style import COLOURS, WIDTH, FloatArray, group_colour, largest, styled

__all__ = [
    "attribution_on_cortex",
    "attribution_on_frames",
    "attribution_raster",
    "receptive_fields",
    "subpopulations_on_cortex",
]

_Integers = npt.NDArray[np.integer[Any]]

#: More cells than a figure has lines: neighbours in a group are averaged.
_MOST_LINES = 400
#: Told apart where there are more groups than colours.
_DASHES, _MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D")


@styled
def attribution_on_frames(
    frames: npt.NDArray[np.uint8], maps: Mapping[str, FloatArray], labels: Sequence[str]
) -> Figure:
    """Movie frames, and over them how much each pixel moved the shared latents.

    Good: bright spots on edges, texture and moving parts, and different from frame to frame. Bad: the same pattern over
    every frame, a checkerboard, or the border alone (the network's own structure, not the stimulus).

    Parameters
    ----------
    frames : ndarray of uint8, (P, H, W)
        What was shown.
    maps : mapping of str to ndarray, (P, H, W)
        By method; magnitudes are drawn, each method on one scale from zero to its 99.5th percentile.
    labels : sequence of str
        One per frame.
    """
    rows = 1 + len(maps)
    height = WIDTH / len(frames) * frames.shape[1] / frames.shape[2]
    figure = Figure(figsize=(WIDTH, 0.5 + rows * (height + 0.12)), layout="compressed")
    panels = figure.subplots(rows, len(frames), squeeze=False)
    for place, frame in enumerate(frames):
        panels[0, place].imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panels[0, place].set_title(labels[place], fontsize=7)
    for row, (method, values) in enumerate(maps.items(), start=1):
        magnitude = np.abs(values)
        top = largest(magnitude, 99.5)
        for place, frame in enumerate(frames):
            strength = np.clip(np.nan_to_num(magnitude[place]) / top, 0, 1)
            panels[row, place].imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panels[row, place].imshow(
                strength, cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.75 * strength, interpolation="nearest"
            )
        panels[row, 0].set_ylabel(method, fontsize=8)
    for panel in panels.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    return figure


@styled
def attribution_on_cortex(
    coordinates: FloatArray, values: Mapping[str, FloatArray], title: str, signed: Collection[str] = ()
) -> Figure:
    """Neurons where they lie in cortex, coloured by how much they moved the shared latents.

    Good: some cells stand out, and methods name the same ones. Bad: all cells equal, or one cell alone (an artefact, or
    an outlier in its trace).

    Parameters
    ----------
    coordinates : ndarray, (N, 3)
        Micrometres; neurons whose x or y is NaN are left out, and a note says how many.
    values : mapping of str to ndarray, (N,)
        By method. Each method has its own scale, cut at the 99th percentile of its magnitude: from zero where no value
        is negative, otherwise with zero white, negative values blue and positive ones red. Neurons whose value is NaN
        are left out too.
    title : str
        Whose they are.
    signed : collection of str
        Methods whose values have a sign, so that zero is white even where none is negative.
    """
    placed = np.isfinite(coordinates[:, :2]).all(axis=1)
    figure = Figure(figsize=(WIDTH, 0.4 + 3.4 * len(values)), layout="constrained")
    panels = figure.subplots(len(values), 1, squeeze=False).ravel()
    figure.suptitle(title, fontsize=9)
    for panel, (method, attribution) in zip(panels, values.items(), strict=True):
        known = placed & np.isfinite(attribution)
        diverging = method in signed or bool((attribution[known] < 0).any())
        end = largest(attribution[known], 99)
        order = np.argsort(np.abs(attribution[known]))
        points = panel.scatter(
            coordinates[known, 0][order],
            coordinates[known, 1][order],
            c=attribution[known][order],
            s=_point_size(int(known.sum())),
            cmap="RdBu_r" if diverging else "viridis",
            vmin=-end if diverging else 0,
            vmax=end,
            edgecolors="#444444",
            linewidths=0.2,
        )
        _as_map(panel, left_out=int((~placed).sum()), unknown=int((placed & ~known).sum()))
        panel.set_title(method, loc="left")
        figure.colorbar(points, ax=panel, label="attribution", shrink=0.8)
    return figure


@styled
def subpopulations_on_cortex(coordinates: FloatArray, groups: _Integers, title: str) -> Figure:
    """Neurons where they lie in cortex, coloured by the subpopulation they belong to.

    Groups are made without positions, so a group that lies in one place says something; that they are mixed is no
    fault. Bad: a border that is the border of a plane or of a part of the field (they were recorded differently).

    Parameters
    ----------
    coordinates : ndarray, (N, 3)
        Micrometres; neurons whose x or y is NaN are left out, and a note says how many.
    groups : ndarray of int, (N,)
        Number of each neuron's group from 0; below 0 where it belongs to none, drawn in grey below the others.
    title : str
        Whose they are.
    """
    placed = np.isfinite(coordinates[:, :2]).all(axis=1)
    numbers = sorted(np.unique(np.maximum(groups, -1)).tolist(), key=_none_last)
    figure = Figure(figsize=(WIDTH, 4.2 + 0.18 * math.ceil(len(numbers) / 2)), layout="constrained")
    panel = figure.subplots()
    for number in numbers:
        members = np.maximum(groups, -1) == number
        mine = placed & members
        panel.scatter(
            coordinates[mine, 0],
            coordinates[mine, 1],
            color=group_colour(number),
            marker=_MARKERS[number // len(COLOURS) % len(_MARKERS)] if number >= 0 else "o",
            s=_point_size(int(placed.sum())),
            edgecolors="#444444",
            linewidths=0.2,
            zorder=2 if number >= 0 else 1,
            label=_group_name(number, int(members.sum()), None),
        )
    _as_map(panel, left_out=int((~placed).sum()))
    panel.set_title(title, loc="left")
    if len(numbers):
        figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    return figure


def _point_size(cells: int) -> float:
    """Area of a cell's point, square points of type: smaller where there are more."""
    return float(np.clip(6000 / max(cells, 1), 4, 60))


def _as_map(panel: Any, *, left_out: int, unknown: int = 0) -> None:
    """Axes of a map of cortex, and a note of what is not on it."""
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_ylabel("y, micrometres")
    notes = [f"{_cells(left_out)} without a known position"] * (left_out > 0)
    notes += [f"{_cells(unknown)} without a value"] * (unknown > 0)
    panel.set_xlabel("x, micrometres" + f"\nnot drawn: {', '.join(notes)}" * bool(notes))


@styled
def attribution_raster(
    values: FloatArray,
    groups: _Integers,
    profiles: FloatArray,
    profile_time: FloatArray,
    clip_borders: _Integers,
    frame_rate: float,
    names: Sequence[str] | None = None,
) -> Figure:
    """How much the latents rely on each cell at each frame, cells ordered by subpopulation, above its time courses.

    Magnitudes are drawn, on one scale from zero to their 99th percentile; within a group the strongest cells come
    first. Of more than 400 cells, neighbours in this order are averaged.

    Good: lines that change together within a group and otherwise than those of the next, and profiles of different
    form. Bad: profiles of one form at different heights (groups by strength alone), or bright columns through all
    groups (frames at which every cell counts, which is no group's doing; at the ends of every clip it is the model's).

    Parameters
    ----------
    values : ndarray, (F, N)
        Attribution of F frames to N cells, clips laid side by side; NaN is left white.
    groups : ndarray of int, (N,)
        Row of ``profiles`` of each cell; below 0 where it belongs to none.
    profiles : ndarray, (C, B)
        Mean attribution to the cells of each group, around onsets or within a clip.
    profile_time : ndarray, (B,)
        Seconds from the onset of the stimulus, or of a clip.
    clip_borders : ndarray of int
        Frames at which another clip begins; a border at 0 is not drawn.
    frame_rate : float
        Frames per second.
    names : sequence of str, optional
        Of the groups; by default their numbers.

    Raises
    ------
    AttributionError
        If there are no cells or frames, or a cell belongs to a group without a profile.
    """
    frames, cells = values.shape
    if cells == 0 or frames == 0 or len(groups) != cells or groups.max() >= len(profiles):
        raise AttributionError(
            f"values of shape {values.shape}, {len(groups)} cells in groups up to {max(groups, default=-1)} and "
            f"{len(profiles)} profiles",
            expected="at least one frame and cell, a group for each cell and a profile for each group",
            remedy="give attribution and groups of the same cells",
        )
    lines, line_groups = _lines(np.abs(values).T, groups)
    numbers = [*range(len(profiles)), *([-1] if (groups < 0).any() else [])]
    figure = Figure(figsize=(WIDTH, 5.2 + 0.16 * math.ceil(len(numbers) / 2)), layout="constrained")
    layout = figure.add_gridspec(2, 2, width_ratios=(0.03, 1), height_ratios=(1.9, 1), wspace=0.01)
    strip, raster = figure.add_subplot(layout[0, 0]), figure.add_subplot(layout[0, 1])
    seconds = frames / frame_rate
    heat = raster.imshow(
        lines,
        cmap="magma",
        vmin=0,
        vmax=largest(values, 99),
        aspect="auto",
        interpolation="nearest",
        extent=(0, seconds, len(lines), 0),
    )
    _colour_strip(strip, line_groups)
    for border in clip_borders:
        if 0 < border < frames:
            raster.axvline(border / frame_rate, color="white", linewidth=0.6)
    for border in np.flatnonzero(np.diff(line_groups)) + 1:
        raster.axhline(float(border), color="white", linewidth=0.8)
    raster.set_yticks([])
    raster.set_xlabel("seconds of attributed clips, laid side by side", fontsize=8)
    averaged = f", about {cells / len(lines):.0f} averaged in each line" if len(lines) < cells else ""
    raster.set_title(f"{_cells(cells)}{averaged}", loc="left", fontsize=8)
    figure.colorbar(heat, ax=raster, label="attribution, magnitude", shrink=0.8)
    courses = figure.add_subplot(layout[1, :])
    for number in numbers:
        # Cells of no group have no profile, but an entry in the legend.
        time, course = (profile_time, profiles[number]) if number >= 0 else (np.zeros(0), np.zeros(0))
        courses.plot(
            time,
            course,
            color=group_colour(number),
            linestyle=_DASHES[max(number, 0) // len(COLOURS) % len(_DASHES)],
            linewidth=1.4 if number >= 0 else 4,
            marker="." if number >= 0 and len(profile_time) < 3 else "",
            label=_group_name(number, int((groups < 0 if number < 0 else groups == number).sum()), names),
        )
    courses.set_xlabel("seconds from the onset", fontsize=8)
    courses.set_ylabel("mean attribution", fontsize=8)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
    return figure


def _colour_strip(strip: Any, line_groups: _Integers) -> None:
    """The colour of each line's group, with its number where there is room."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(group_colour(group)) for group in line_groups])[:, None]
    strip.imshow(colours, aspect="auto", interpolation="nearest", extent=(0, 1, len(line_groups), 0))
    middles = {group: np.flatnonzero(line_groups == group).mean() + 0.5 for group in np.unique(line_groups)}
    wide = [group for group in middles if (line_groups == group).mean() > 0.04]
    strip.set_yticks([middles[group] for group in wide], ["–" if group < 0 else str(group) for group in wide])
    strip.tick_params(axis="y", length=0, labelsize=7)
    strip.set_xticks([])
    strip.spines[:].set_visible(False)
    strip.set_ylabel("subpopulation", fontsize=8)


def _lines(magnitude: FloatArray, groups: _Integers) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Cells by group and then by strength, those of no group last; neighbours averaged where there are many cells."""
    strength = _mean_of_known(magnitude, axis=1)
    lines, line_groups = [], []
    for group in sorted(np.unique(np.maximum(groups, -1)).tolist(), key=_none_last):
        members = np.flatnonzero(np.maximum(groups, -1) == group)
        members = members[np.argsort(-np.nan_to_num(strength[members]), kind="stable")]
        number = len(members)
        if len(groups) > _MOST_LINES:
            number = max(1, round(_MOST_LINES * len(members) / len(groups)))
        lines += [_mean_of_known(magnitude[some], axis=0) for some in np.array_split(members, number)]
        line_groups += [group] * number
    return np.stack(lines), np.array(line_groups, dtype=np.int64)


def _none_last(group: int) -> tuple[bool, int]:
    return group < 0, group


def _mean_of_known(values: FloatArray, axis: int) -> FloatArray:
    """Mean that leaves NaN out, NaN where nothing is known."""
    known = np.isfinite(values)
    number = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis, dtype=np.float64)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _group_name(number: int, cells: int, names: Sequence[str] | None) -> str:
    name = "no group" if number < 0 else f"subpopulation {number}" if names is None else names[number]
    return f"{name} ({_cells(cells)})"


def _cells(number: int) -> str:
    return f"{number:,} cell{'s' * (number != 1)}"


@styled
def receptive_fields(
    maps: FloatArray, names: Sequence[str] | None = None, most: int = 16, *, own_scales: bool = False
) -> Figure:
    """Where in the picture each latent looks: its attribution to the pixels, summed up over the session.

    Latents come by mean magnitude, strongest first. A cross marks the centre of mass of what exceeds halfway from the
    map's median to its maximum, so that the level of the ground does not draw it to the middle.

    Good: spots in different places. Bad: all maps alike, or bright along the border (the network's own structure).

    Parameters
    ----------
    maps : ndarray, (K, H, W)
        Session map of each latent; where one has negative values zero is white, negative blue and positive red.
    names : sequence of str, optional
        Of the K latents; by default their numbers.
    most : int
        How many are drawn.
    own_scales : bool
        Each map on a scale of its own, to compare forms; by default one for all, to compare strengths. The title says
        which. Scales end at the 99.5th percentile of the magnitude.

    Raises
    ------
    AttributionError
        If there are no maps.
    """
    if 0 in maps.shape or most < 1:
        raise AttributionError(
            f"maps of shape {maps.shape}, {most} to draw",
            expected="at least one latent and pixel, (K, H, W), and at least one to draw",
            remedy="give the maps of a method that has any",
        )
    names = [f"latent {number}" for number in range(len(maps))] if names is None else names
    strength = _mean_of_known(np.abs(maps).reshape(len(maps), -1), axis=1)
    order = np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")[:most]
    columns = min(4, len(order))
    rows = math.ceil(len(order) / columns)
    height = WIDTH / max(columns, 2) * maps.shape[1] / maps.shape[2]
    around = 0.3 if own_scales else 0.8
    figure = Figure(figsize=(WIDTH, around + rows * (min(height, 4.0) + 0.18)), layout="compressed")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    signed = bool((maps[order] < 0).any())
    shared = largest(maps[order], 99.5)
    for panel, latent in zip(panels, order, strict=False):
        end = largest(maps[latent], 99.5) if own_scales else shared
        heat = panel.imshow(
            maps[latent],
            cmap="RdBu_r" if signed else "magma",
            vmin=-end if signed else 0,
            vmax=end,
            interpolation="nearest",
        )
        panel.set_title(names[latent], fontsize=7, pad=2)
        centre = _centre_of_mass(np.abs(maps[latent]))
        if centre is not None:
            panel.plot(centre[1], centre[0], marker="+", color="black", markersize=9, markeredgewidth=2.6)
            panel.plot(centre[1], centre[0], marker="+", color="white", markersize=8, markeredgewidth=1.2)
    for panel in panels:
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    for panel in panels[len(order) :]:
        panel.remove()
    scale = "each on its own scale" if own_scales else "one scale for all"
    chosen = f"the {len(order)} strongest of {len(maps)} latents, " if len(order) < len(maps) else ""
    figure.suptitle(f"{chosen}{scale}", fontsize=8)
    if not own_scales:
        figure.colorbar(
            heat, ax=panels[: len(order)].tolist(), location="bottom", label="attribution", shrink=0.6, aspect=40
        )
    return figure


def _centre_of_mass(magnitude: FloatArray) -> tuple[float, float] | None:
    """Row and column of the centre of what stands out of a map; none where nothing does."""
    known = np.isfinite(magnitude)
    if not known.any():
        return None
    threshold = (np.median(magnitude[known]) + magnitude[known].max()) / 2
    mass = np.where(known, magnitude, 0) - threshold
    mass = np.maximum(mass, 0)
    if mass.sum() <= 0:
        return None
    rows, columns = np.indices(mass.shape)
    return float((rows * mass).sum() / mass.sum()), float((columns * mass).sum() / mass.sum())
