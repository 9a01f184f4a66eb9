"""Tests of stimulus regions on maps that have nothing to do with the frames, and what they find on the true ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution import SessionAttribution, StimulusRegionConfiguration, find_stimulus_regions
from nwb_mivae.evaluation import metrics

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore
    from tests.benchmarks.attribution.scales import Scale

__all__ = ["null_p_values", "region_figures", "unrelated"]

#: Of a session's regions; the second of each is the one of the two nulls.
_KINDS = ("total", "unique")


def region_figures(attribution: SessionAttribution, store: ClipStore, scale: Scale, *, seed: int) -> dict[str, Any]:
    """Effects and corrected p-values on the true maps, by kind, statistic and null; None where not tested."""
    settings = StimulusRegionConfiguration(clips=scale.region_clips)
    found = find_stimulus_regions(attribution, store, method="fisher", configuration=settings, seed=seed)
    return {
        name: {"effect": _known(found.effect[place]), "p_corrected": _known(found.p_corrected[place])}
        for name, place in _tests(found)
    }


def null_p_values(
    attribution: SessionAttribution, store: ClipStore, scale: Scale, *, seed: int
) -> dict[str, list[float]]:
    """p-values of many draws of :func:`unrelated` maps, by ``kind/statistic/null``, of tests that could be made."""
    random = np.random.default_rng([seed, 33])
    settings = StimulusRegionConfiguration(
        clips=scale.null_clips, frames_per_clip=scale.null_frames, permutations=scale.null_permutations
    )
    found: dict[str, list[float]] = {}
    for draw in range(scale.null_draws):
        maps = unrelated(attribution, store, scale.null_clips, random)
        regions = find_stimulus_regions(maps, store, method="fisher", configuration=settings, seed=draw)
        for name, place in _tests(regions):
            if np.isfinite(regions.p_value[place]):
                found.setdefault(name, []).append(round(float(regions.p_value[place]), 5))
    return found


def unrelated(
    attribution: SessionAttribution, store: ClipStore, clips: int, random: np.random.Generator
) -> SessionAttribution:
    """Frames of some clips with the maps of others, which show something else, all shifted in space alike.

    Which map belongs to which clip is drawn, and so is the shift, circular after mirroring at the borders. No test has
    then anything to find: neither of clips, since any map could be that of any clip, nor of places.

    Parameters
    ----------
    attribution : SessionAttribution
        By ``fisher``, to pixels.
    clips : int
        At most so many, and at most half of the different ones.
    """
    pixels = attribution.maps("fisher", "pixels")
    number = int(attribution.clip[-1]) + 1
    rows = attribution.row.reshape(number, -1)
    different, _ = metrics.distinct_clips(np.asarray(store.sessions[attribution.session].content[rows]))
    drawn = random.permutation(different)
    clips = min(clips, len(different) // 2)
    shown, others = np.sort(drawn[:clips]), drawn[clips : 2 * clips]
    maps = pixels.reshape(number, -1, *pixels.shape[1:])[others].reshape(-1, *pixels.shape[1:])
    frames = (shown[:, None] * rows.shape[1] + np.arange(rows.shape[1])).ravel()
    return replace(
        attribution,
        methods={"fisher": replace(attribution.methods["fisher"], pixels=_shifted(maps, random))},
        clip=np.repeat(np.arange(clips), rows.shape[1]),
        **{name: getattr(attribution, name)[frames] for name in ("time", "stop_time", "row", "presentation")},
    )


def _shifted(maps: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.float32]:
    height, width = maps.shape[1:]
    mirrored = np.concatenate([maps, maps[:, ::-1]], axis=1)
    mirrored = np.concatenate([mirrored, mirrored[:, :, ::-1]], axis=2)
    by = (int(random.integers(2 * height)), int(random.integers(2 * width)))
    return np.roll(mirrored, by, axis=(1, 2))[:, :height, :width]


def _tests(found: Any) -> list[tuple[str, tuple[int, int, int]]]:
    return [
        (f"{kind}/{statistic}/{null}", (i, j, k))
        for i, kind in enumerate(_KINDS)
        for j, statistic in enumerate(found.statistics)
        for k, null in enumerate(found.nulls)
    ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
