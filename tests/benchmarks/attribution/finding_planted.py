"""How well attribution finds what was planted: visual cells, driving pixels, subpopulations."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution import (
    AttributionConfiguration,
    SessionAttribution,
    attribute,
    find_subpopulations,
    onset_courses,
)
from nwb_mivae.attribution.clustering import adjusted_rand_index
from nwb_mivae.clips import Split
from tests.benchmarks.attribution.measures import auroc, mean_of_known, pointing_game

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nwb_mivae.attribution.configuration import BlockName, SourceName
    from nwb_mivae.clips import ClipStore, StoredSession
    from nwb_mivae.clips.split import Part
    from nwb_mivae.model import MiVAEModule
    from tests.benchmarks.alignment.scales import Material
    from tests.benchmarks.attribution.planted import Planted

__all__ = [
    "Judged",
    "attributions",
    "first_half",
    "neuron_figures",
    "pixel_figures",
    "private_figures",
    "session_figure",
    "subpopulation_figures",
]

_Mask = npt.NDArray[np.bool_]


class Judged(NamedTuple):
    """What :func:`nwb_mivae.attribution.attribute` asks of a trained model."""

    module: MiVAEModule
    store: ClipStore
    split: Split


class _FirstHalf(Split):
    """A split that takes the first half of each part's clips: of a recording that ended then."""

    def clip_starts(
        self, session: StoredSession, part: Part, *, n_frames: int, stride: int = 1
    ) -> npt.NDArray[np.int64]:
        starts = super().clip_starts(session, part, n_frames=n_frames, stride=stride)
        return starts[: -(-len(starts) // 2)]


def first_half(model: Judged) -> Judged:
    """The same model given half of an animal's context, and half of its test clips."""
    split = model.split
    return model._replace(split=_FirstHalf(**{each.name: getattr(split, each.name) for each in fields(split)}))


def attributions(
    model: Judged,
    session: str,
    to: SourceName,
    clips: Mapping[str, int | None],
    *,
    of: BlockName = "shared",
    seed: int = 0,
) -> dict[str, SessionAttribution]:
    """Attribution by every method, each of at most so many clips, by method."""
    found = {}
    for most in dict.fromkeys(clips.values()):
        together = [method for method in clips if clips[method] == most]
        settings = AttributionConfiguration.from_mapping({"of": of, "to": [to], "methods": together, "clips": most})
        found |= dict.fromkeys(together, attribute(model, session, configuration=settings, seed=seed))
    return {method: found[method] for method in clips}


def session_figure(attribution: SessionAttribution, method: str, to: SourceName) -> npt.NDArray[np.float64]:
    """What cells (N,) or pixels (H, W) are ranked by, over all frames.

    The mean of contributions with a sign, and the root mean square of all else: the mean of ``score`` says nothing,
    since a posterior's score is zero on average.
    """
    if method == "score":
        return _root_mean_square(attribution, method, to)
    return attribution.per_session(method, to)


def neuron_figures(
    by_method: Mapping[str, SessionAttribution], truth: Planted, of_latent: _Mask
) -> dict[str, dict[str, float | None]]:
    """AUROC of visual cells against those that no stimulus drives, by method.

    ``session`` ranks by :func:`session_figure`, ``root_mean_square`` by that. ``per_latent_driven`` ranks by each
    latent's own figure and takes for positive the cells that tell of this latent (``of_latent``, (K, N)) alone;
    ``per_latent_visual`` takes all visual cells; both are means over latents.
    """
    figures = {}
    for method, attribution in by_method.items():
        per_latent = attribution.methods[method].neurons_per_latent
        driven = [
            auroc(values[cells | ~truth.visual], cells[cells | ~truth.visual])
            for values, cells in zip(per_latent, of_latent, strict=True)
        ]
        figures[method] = {
            "session": auroc(session_figure(attribution, method, "neurons"), truth.visual),
            "root_mean_square": auroc(_root_mean_square(attribution, method, "neurons"), truth.visual),
            "per_latent_driven": mean_of_known(driven),
            "per_latent_visual": mean_of_known(auroc(values, truth.visual) for values in per_latent),
        }
    return figures


def private_figures(by_method: Mapping[str, SessionAttribution], truth: Planted) -> dict[str, float | None]:
    """AUROC of cells that a private factor modulates against those that none does, by method, private latents."""
    return {
        method: auroc(attribution.per_session(method, "neurons"), truth.private)
        for method, attribution in by_method.items()
    }


def pixel_figures(
    by_method: Mapping[str, SessionAttribution], driving_pixels: _Mask
) -> dict[str, dict[str, float | None]]:
    """AUROC of driving pixels against the others, and how often the maximum is among them, by method.

    ``session``, ``root_mean_square`` and ``per_latent`` as for neurons. ``frames`` is the mean over frames of the AUROC
    of each frame's own map, its magnitude where it has a sign. ``pointing_frames`` and ``pointing_latents`` are
    pointing games of the same maps of frames, and of each latent's session map.
    """
    figures = {}
    for method, attribution in by_method.items():
        maps = np.abs(attribution.methods[method].pixels)
        per_latent = attribution.methods[method].pixels_per_latent
        varies = maps.max(axis=(1, 2)) > maps.min(axis=(1, 2))
        figures[method] = {
            "session": auroc(session_figure(attribution, method, "pixels"), driving_pixels),
            "root_mean_square": auroc(_root_mean_square(attribution, method, "pixels"), driving_pixels),
            "per_latent": mean_of_known(auroc(values, driving_pixels) for values in per_latent),
            "frames": mean_of_known(auroc(frame, driving_pixels) for frame in maps[varies]),
            "pointing_frames": pointing_game(maps, driving_pixels),
            "pointing_latents": pointing_game(per_latent, driving_pixels),
        }
    return figures


def subpopulation_figures(
    model: Judged, attribution: SessionAttribution, given: Material, truth: Planted, *, seed: int
) -> dict[str, Any]:
    """Agreement of the groups that are found with the planted ones; cells of no group count as one group."""
    session = attribution.session
    found = find_subpopulations(
        attribution, given.store.sessions[session], around_onsets=onset_courses(model, session), seed=seed
    )
    groups, group = np.unique(found.subpopulation, return_inverse=True)
    names, name = np.unique(truth.subpopulation, return_inverse=True)
    table = np.zeros((len(names), len(groups)), dtype=np.int64)
    np.add.at(table, (name, group), 1)
    return {
        "adjusted_rand_index": float(adjusted_rand_index(group, name)),
        "groups": int((groups >= 0).sum()),
        "planted": names.tolist(),
        "found": ["none" if number < 0 else f"group {number}" for number in groups.tolist()],
        "cells": table.tolist(),
        "finding": str(found.settings.get("finding", "")),
    }


def _root_mean_square(attribution: SessionAttribution, method: str, to: SourceName) -> npt.NDArray[np.float64]:
    squares = np.square(attribution.maps(method, to).astype(np.float64))
    return np.asarray(np.sqrt(squares.mean(axis=0)))
