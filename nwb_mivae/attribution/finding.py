"""From a session's attribution to its subpopulations, with what sets each apart."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.clustering import Clustering, cluster, silhouettes, standardised
from nwb_mivae.attribution.configuration import SubpopulationConfiguration
from nwb_mivae.attribution.subpopulations import SessionSubpopulations
from nwb_mivae.clips import evenly
from nwb_mivae.errors import AttributionError

if TYPE_CHECKING:
    from nwb_mivae.attribution.result import SessionAttribution
    from nwb_mivae.clips import StoredSession

__all__ = ["find_subpopulations"]

_Array = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

_METHOD = (
    "k-means, begun from Ward's method, of each cell's mean time course within a clip, standardised; "
    "the number of subpopulations by stability over halves of the clips"
)
_STATISTICS = {
    "stability": "Jaccard index of the subpopulation with the one most like it that half of the clips give, mean over "
    "halves; NaN where there is one subpopulation",
    "silhouette": "mean silhouette of its cells, -1 to 1: how much nearer their time courses are to one another than "
    "to the next subpopulation; NaN where there is one subpopulation",
    "reliability": "correlation of a cell's time courses over two halves of the clips, mean over its cells and over "
    "ways to halve; NaN where there are too few clips",
    "discrimination": "similarity (cosine of standardised activity) of its cells in two showings of a clip, less that "
    "in showings of different clips: 0 where activity tells no stimuli apart; NaN where the session shows none again",
    "mean_x": "mean x of its cells in micrometres, NaN where unknown",
    "mean_y": "mean y of its cells in micrometres, NaN where unknown",
    "mean_z": "mean z of its cells in micrometres, NaN where unknown",
}
#: Different clips, below which halves are no samples of stimuli.
_LEAST_CLIPS = 4
#: Different clips, and showings of each in the session, whose activity is compared: all pairs of them are.
_CLIPS_COMPARED, _SHOWINGS_COMPARED = 64, 16


def find_subpopulations(
    attribution: SessionAttribution,
    stored: StoredSession,
    *,
    configuration: SubpopulationConfiguration | None = None,
    seed: int = 0,
) -> SessionSubpopulations:
    """Group a session's cells by when, within a clip, the latents rely on them.

    A cell's time course is its attribution at each frame of a clip, as a magnitude, averaged over the clips and
    standardised, so that only its form counts. How many groups there are is decided by whether other clips give them
    again, against cells without groups; where they do not, all cells are one subpopulation, and the settings say why.
    Showings of one stimulus stay in one half, so that no group comes again only because its clips do.

    What is found is about the model's use of cells, not a cell type; and where cells differ by degrees, borders between
    groups are where the number of groups puts them: the silhouettes tell how sharp they are.

    Parameters
    ----------
    attribution : SessionAttribution
        Of the session, by the configured method if there is one.
    stored : StoredSession
        The same session in the clip store: positions of cells, their activity, and which clips show the same.
    configuration : SubpopulationConfiguration, optional
    seed : int
        Draws the halves.

    Returns
    -------
    SessionSubpopulations
        Largest first. Cells whose attribution does not change within a clip belong to none, unless that is so of all.

    Raises
    ------
    AttributionError
        If the attribution is of another session or lacks the configured method.
    """
    settings = configuration or SubpopulationConfiguration()
    method = settings.attribution_method or ("fisher" if "fisher" in attribution.methods else "score")
    maps = _maps(attribution, stored, method)
    random = np.random.default_rng(seed)
    shown = _what_is_shown(attribution, stored, len(maps))
    strength = _mean_magnitude(maps, np.arange(len(maps)))
    courses = standardised(strength)
    varying = courses.any(axis=1)
    members = np.flatnonzero(varying) if varying.any() else np.arange(len(courses))
    courses = courses[members]
    halves = _halves(maps, members, shown, settings.splits, random) if varying.any() else []
    found = cluster(courses, halves, most=settings.most, random=random)
    subpopulation = np.full(len(strength), -1, dtype=np.int32)
    subpopulation[members] = found.labels
    confidence = np.full(len(strength), np.nan, dtype=np.float32)
    confidence[members] = silhouettes(courses, found.labels)
    reliability = np.full(len(strength), np.nan)
    if halves:
        reliability[members] = np.mean([(one * other).mean(1) for one, other in halves], axis=0)
    groups = [np.flatnonzero(subpopulation == number) for number in range(found.labels.max() + 1)]
    showings = _showings(attribution, stored, len(maps))
    positions = np.array([[_mean_of_known(stored.coordinates[cells, axis]) for axis in range(3)] for cells in groups])
    statistics = {
        "stability": found.group_stability,
        "silhouette": np.array([_mean_of_known(confidence[cells]) for cells in groups]),
        "reliability": np.array([_mean_of_known(reliability[cells]) for cells in groups]),
        "discrimination": np.array([_discrimination(stored, showings, maps.shape[1], cells) for cells in groups]),
        **{f"mean_{name}": positions[:, axis] for axis, name in enumerate("xyz")},
    }
    times = attribution.time.reshape(len(maps), -1)
    return SessionSubpopulations(
        session=attribution.session,
        method=_METHOD,
        attribution_method=method,
        subpopulation=subpopulation,
        confidence=confidence,
        profile=np.stack([strength[cells].mean(0) for cells in groups]).astype(np.float32),
        profile_time=(times - times[:, :1]).mean(0),
        statistics={name: (text, statistics[name].astype(np.float64)) for name, text in _STATISTICS.items()},
        settings={
            "configuration": settings.model_dump(mode="json"),
            "seed": seed,
            "clips": len(maps),
            "different_clips": int(shown.max()) + 1,
            "clips_shown_again": sum(len(starts) > 1 for starts in showings),
            "cells_grouped": len(members),
            "stability": _json_able(found.stability),
            "silhouette": _json_able(found.separation),
            "silhouette_of_one_cloud": _json_able(found.cloud_separation),
            "finding": _in_words(found, varying=bool(varying.any()), enough_clips=bool(halves), most=settings.most),
        },
        weights_sha256=attribution.weights_sha256,
    )


def _maps(attribution: SessionAttribution, stored: StoredSession, method: str) -> npt.NDArray[np.float32]:
    """The attribution to cells by clip, (clips, frames, cells)."""
    if method not in attribution.methods:
        raise AttributionError(
            f"an attribution by {', '.join(attribution.methods)}",
            expected=method,
            remedy="attribute again with that method, or choose another for the subpopulations",
            object_path=attribution.session,
        )
    neurons = attribution.methods[method].neurons
    _, frames = np.unique(attribution.clip, return_counts=True)
    belongs = attribution.session == stored.key and neurons.shape[1] == stored.n_cells
    if not belongs or len(neurons) == 0 or len(neurons) != frames.sum() or (frames != frames[0]).any():
        raise AttributionError(
            f"an attribution of {neurons.shape[1]} cells of {attribution.session!r} at {len(neurons)} frames",
            expected=f"whole clips of {stored.key!r} with its {stored.n_cells} cells",
            remedy="give the attribution of this session, as `attribute` made it",
            object_path=attribution.session,
        )
    return neurons.reshape(len(frames), int(frames[0]), -1)


def _what_is_shown(attribution: SessionAttribution, stored: StoredSession, clips: int) -> _Integers:
    """A number for each clip, the same for showings of the same pixels, (clips,)."""
    content = np.asarray(stored.content[attribution.row]).reshape(clips, -1)
    return np.unique(content, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _mean_magnitude(maps: npt.NDArray[np.float32], clips: _Integers) -> _Array:
    """Mean over some clips of the size of the attribution, (cells, frames); clip by clip, to copy no map."""
    total = np.zeros(maps.shape[1:])
    for clip in clips:
        total += np.abs(maps[clip])
    return total.T / len(clips)


def _halves(
    maps: npt.NDArray[np.float32], members: _Integers, shown: _Integers, splits: int, random: np.random.Generator
) -> list[tuple[_Array, _Array]]:
    """Time courses over two halves of the stimuli, halved at random several times; none where there are too few."""
    different = int(shown.max()) + 1
    if different < _LEAST_CLIPS:
        return []
    pairs = []
    for _ in range(splits):
        first = np.isin(shown, random.permutation(different)[: different // 2])
        one, other = (standardised(_mean_magnitude(maps, np.flatnonzero(half))[members]) for half in (first, ~first))
        pairs.append((one, other))
    return pairs


def _showings(attribution: SessionAttribution, stored: StoredSession, clips: int) -> list[_Integers]:
    """Rows at which the session shows each attributed clip, attributed there or not; those shown most often first."""
    different = np.unique(np.asarray(stored.content[attribution.row]).reshape(clips, -1), axis=0)
    frames = different.shape[1]
    last = stored.n_frames - frames + 1
    known = np.concatenate([[0], np.cumsum(stored.valid)])
    whole = (known[frames:] - known[:last] == frames) & (stored.segment[frames - 1 :] == stored.segment[:last])
    found = []
    for clip in different:
        starts = np.flatnonzero(whole & (stored.content[:last] == clip[0]))
        for frame in range(1, frames):
            starts = starts[stored.content[starts + frame] == clip[frame]]
        apart: list[int] = []
        for start in starts.tolist():
            # One frame that stands for long is not shown again at every row.
            if not apart or start >= apart[-1] + frames:
                apart.append(start)
        found.append(evenly(np.asarray(apart, dtype=np.int64), _SHOWINGS_COMPARED))
    return sorted(found, key=len, reverse=True)[:_CLIPS_COMPARED]


def _discrimination(
    stored: StoredSession, showings: list[_Integers], frames: int, cells: _Integers, *, cells_at_once: int = 256
) -> float:
    """How much more alike two showings of one clip are than of two clips, in the activity of some cells."""
    clip = np.repeat(np.arange(len(showings)), [len(starts) for starts in showings])
    same = (clip[:, None] == clip) & ~np.eye(len(clip), dtype=bool)
    different = clip[:, None] != clip
    if not same.any() or not different.any():
        return math.nan
    rows = (np.concatenate(showings)[:, None] + np.arange(frames)).ravel()
    products = np.zeros((len(clip), len(clip)))
    for first in range(0, len(cells), cells_at_once):
        some = stored.neural[np.ix_(rows, cells[first : first + cells_at_once])].astype(np.float64)
        by_clip = standardised(some.T).T.reshape(len(clip), -1)
        products += by_clip @ by_clip.T
    size = np.sqrt(np.maximum(products.diagonal(), np.finfo(np.float64).tiny))
    similarity = products / np.outer(size, size)
    return float(similarity[same].mean() - similarity[different].mean())


def _mean_of_known(values: npt.NDArray[Any]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return float(np.nanmean(values, dtype=np.float64))


def _json_able(figures: dict[int, float]) -> dict[str, float | None]:
    return {str(number): value if math.isfinite(value) else None for number, value in figures.items()}


def _in_words(found: Clustering, *, varying: bool, enough_clips: bool, most: int) -> str:
    number = len(found.group_stability)
    if number > 1:
        return (
            f"{number} subpopulations: halves of the clips give the same again (adjusted Rand index "
            f"{found.stability[number]:.2f}), and they stand apart more than groups of one cloud of cells (mean "
            f"silhouette {found.separation[number]:.2f} against {found.cloud_separation[number]:.2f})."
        )
    if not varying:
        reason = "no cell's attribution changes within a clip"
    elif not enough_clips:
        reason = "there are too few different clips to be halved"
    elif not found.stability:
        reason = "no more were asked for" if most == 1 else "there are too few cells"
    elif not (divided := [number for number, value in found.stability.items() if math.isfinite(value)]):
        reason = "their time courses are too much alike to be divided"
    else:
        reason = (
            f"no division into 2 to {max(divided)} groups was stable over halves of the clips and clearer than "
            "that of one cloud of cells"
        )
    return f"One subpopulation: {reason}."
