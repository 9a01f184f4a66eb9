"""From a session's attribution to its subpopulations, with what sets each apart."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.clustering import Clustering, cluster, silhouettes
from nwb_mivae.attribution.configuration import SubpopulationConfiguration
from nwb_mivae.attribution.discrimination import discrimination, showings
from nwb_mivae.attribution.null_tests import against_draws
from nwb_mivae.attribution.onset_courses import ONSET_METHOD
from nwb_mivae.attribution.subpopulations import SessionSubpopulations
from nwb_mivae.attribution.time_courses import TimeCourses, discoveries, locked_to_onsets
from nwb_mivae.errors import AttributionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nwb_mivae.attribution.onset_courses import OnsetCourses
    from nwb_mivae.attribution.result import SessionAttribution
    from nwb_mivae.clips import StoredSession

__all__ = ["find_subpopulations"]

_Array = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

#: Draws for each of the null of groups: a correction for all cells asks for smaller p-values than one for few groups.
_DRAWS_FOR_CELLS = 10
#: Cells that must follow onsets, or clips are compared.
_LEAST_CELLS = 5
_METHOD = (
    "k-means, begun from Ward's method, of each cell's mean time course {where}, standardised; divided as long as "
    "halves of the {epochs} give the same groups, and clearer ones than one cloud of cells would"
)
_STATISTICS = {
    "stability": "Jaccard index of the subpopulation with the one most like it that half of the {epochs} give, mean "
    "over halves; NaN where there is one subpopulation",
    "silhouette": "mean silhouette of its cells, -1 to 1: how much nearer their time courses are to one another than "
    "to the next subpopulation; NaN where there is one subpopulation",
    "reliability": "correlation of a cell's time courses over two halves of the {epochs}, mean over its cells and over "
    "ways to halve; NaN where there are too few {epochs}",
    "sustained": "mean attribution in the last third of the time after the onset as a share of its peak, both less "
    "what it was before: about 1 sustained, about 0 transient, negative below what it was before; NaN where it falls "
    "more than it rises",
    "latency": "seconds from the onset until the attribution has gone half the way to its peak; NaN where it falls "
    "more than it rises",
    "edge_preference": "mean rise of the attribution after onsets with strong edges less that after others, over the "
    "sum of both sizes, -1 to 1; NaN where there are too few of either, or where it falls more than it rises",
    "discrimination": "similarity (cosine of standardised activity) of its cells in two showings of a clip, less that "
    "in showings of different clips: 0 where activity tells no stimuli apart; NaN where the session shows none again",
    "decoding": "share of showings whose clip is told by its cells' activity from that in the other showings; NaN "
    "where the session shows none again",
    "decoding_chance": "share that guessing would tell",
    "decoding_of_shuffled": "mean of the same share for as many cells drawn from all subpopulations; NaN where there "
    "is one subpopulation",
    "decoding_p": "how often such drawn cells are as far from their mean as the subpopulation is, two-sided",
    "mean_x": "mean x of its cells in micrometres, NaN where unknown",
    "mean_y": "mean y of its cells in micrometres, NaN where unknown",
    "mean_z": "mean z of its cells in micrometres, NaN where unknown",
    "spread": "mean distance of its cells from their middle in x and y, in micrometres; NaN where unknown",
    "spread_p": "how often as many cells drawn from all subpopulations are as far from their mean spread, two-sided",
}


def find_subpopulations(
    attribution: SessionAttribution,
    stored: StoredSession,
    *,
    around_onsets: OnsetCourses | None = None,
    configuration: SubpopulationConfiguration | None = None,
    seed: int = 0,
) -> SessionSubpopulations:
    """Group a session's cells by when the latents rely on them: around onsets of the stimulus, or within a clip.

    A cell's time course is its attribution at each frame, as a magnitude, averaged over onsets (those with strong edges
    and those with weak ones apart) or clips, and standardised, so that only its form counts. Around onsets, cells whose
    attribution does not follow them (:func:`~nwb_mivae.attribution.time_courses.locked_to_onsets`) belong to no
    subpopulation; no p-value is below one in ``shuffles + 1``, so that with the default settings none is said to follow
    them unless about a tenth of all cells does. How many groups there are is decided by whether other clips give them
    again, against cells without groups; where they do not, all cells are one subpopulation, and the settings say why.
    Showings of one stimulus stay in one half, so that no group comes again only because its clips do.

    What is found is about the model's use of cells, not a cell type; and where cells differ by degrees, borders between
    groups are where the number of groups puts them: the silhouettes tell how sharp they are.

    Parameters
    ----------
    attribution : SessionAttribution
        Of the session, to its neurons; by the configured method if there is one.
    stored : StoredSession
        The same session in the clip store: positions of cells, their activity, and which clips show the same.
    around_onsets : OnsetCourses, optional
        From :func:`~nwb_mivae.attribution.onset_courses`; without, time courses are those within clips.
    configuration : SubpopulationConfiguration, optional
    seed : int
        Draws the halves and the shuffles.

    Returns
    -------
    SessionSubpopulations
        Largest first. Cells that belong to none have -1: those that follow no onsets, or whose attribution does not
        change within a clip, unless that is so of all.

    Raises
    ------
    AttributionError
        If the attribution or the onsets are of another session, or the attribution has no neurons or lacks the
        configured method.
    """
    settings = configuration or SubpopulationConfiguration()
    random = np.random.default_rng(seed)
    if around_onsets is not None and (
        around_onsets.session != attribution.session or around_onsets.values.shape[2] != stored.n_cells
    ):
        raise AttributionError(
            f"onsets of {around_onsets.session!r} with {around_onsets.values.shape[2]} cells",
            expected=f"those of {attribution.session!r} with {stored.n_cells}",
            remedy="give the onset courses of this session, or none",
            object_path=attribution.session,
        )
    maps, method = _maps(attribution, stored, settings)
    contents = np.asarray(stored.content[attribution.row]).reshape(len(maps), -1)
    courses, locked = _within_clips(attribution, maps, contents), None
    if around_onsets is not None:
        of_onsets = TimeCourses.around_onsets(around_onsets)
        p_values = locked_to_onsets(of_onsets, shuffles=_DRAWS_FOR_CELLS * settings.shuffles, random=random)
        follows = discoveries(p_values, settings.false_discovery_rate)
        if follows.sum() >= _LEAST_CELLS:
            courses, locked, method = of_onsets, follows, ONSET_METHOD
    varying = np.asarray(courses.form().any(axis=1), dtype=np.bool_)
    if locked is not None:
        varying = np.logical_and(varying, locked)
    members = np.flatnonzero(varying) if varying.any() else np.arange(len(varying))
    form = courses.form()[members]
    halves = courses.halves(settings.splits, random) if varying.any() else []
    of_members = [(one[members], other[members]) for one, other in halves]
    found = cluster(form, of_members, most=settings.most, random=random, number=settings.number)
    subpopulation = np.full(len(varying), -1, dtype=np.int32)
    subpopulation[members] = found.labels
    confidence = np.full(len(varying), np.nan, dtype=np.float32)
    confidence[members] = silhouettes(form, found.labels)
    reliability = np.full(len(varying), np.nan)
    if halves:
        reliability[members] = np.mean([(one * other).mean(1) for one, other in of_members], axis=0)
    groups = [np.flatnonzero(subpopulation == number) for number in range(found.labels.max() + 1)]
    strength = courses.strength()
    epochs, where = ("clips", "within a clip") if locked is None else ("onsets", "around onsets of the stimulus")
    shown = showings(contents, stored)
    told = discrimination(stored, shown, contents.shape[1], groups, shuffles=settings.shuffles, random=random)
    spread, spread_p = _spread(stored.coordinates, groups, settings.shuffles, random)
    rises = [] if locked is None else [_Rise.of(strength[:, cells].mean(1), courses.time) for cells in groups]
    statistics: dict[str, Sequence[float] | _Array] = {
        "stability": found.group_stability,
        "silhouette": [_mean_of_known(confidence[cells]) for cells in groups],
        "reliability": [_mean_of_known(reliability[cells]) for cells in groups],
        "sustained": [rise.sustained for rise in rises],
        "latency": [rise.latency for rise in rises],
        "edge_preference": [rise.edge_preference for rise in rises],
        "discrimination": told.similarity,
        "decoding": told.accuracy,
        "decoding_chance": np.full(len(groups), told.chance),
        "decoding_of_shuffled": told.accuracy_of_shuffled,
        "decoding_p": told.p_value,
        **{
            f"mean_{name}": [_mean_of_known(stored.coordinates[cells, axis]) for cells in groups]
            for axis, name in enumerate("xyz")
        },
        "spread": spread,
        "spread_p": spread_p,
    }
    return SessionSubpopulations(
        session=attribution.session,
        method=_METHOD.format(where=where, epochs=epochs),
        attribution_method=method,
        subpopulation=subpopulation,
        confidence=confidence,
        profile=np.stack([strength[:, cells].mean((0, 1)) for cells in groups]).astype(np.float32),
        profile_time=courses.time,
        statistics={
            name: (text.format(epochs=epochs), np.asarray(statistics[name], dtype=np.float64))
            for name, text in _STATISTICS.items()
            # What is about onsets is left out where there are none.
            if len(statistics[name])
        },
        settings={
            "configuration": settings.model_dump(mode="json"),
            "seed": seed,
            "time_courses": where,
            "block": attribution.block,
            "latents": attribution.latents,
            "clips": len(maps),
            "different_clips": len(np.unique(contents, axis=0)),
            "clips_shown_again": sum(len(starts) > 1 for starts in shown),
            "onsets": None if around_onsets is None else len(around_onsets.row),
            "onsets_available": None if around_onsets is None else around_onsets.n_available,
            "cells_that_follow_onsets": None if locked is None else int(locked.sum()),
            "cells_grouped": len(members),
            "stability": _json_able(found.stability),
            "silhouette": _json_able(found.separation),
            "silhouette_of_one_cloud": _json_able(found.cloud_separation),
            "groups_divided_again": found.divided_again,
            "finding": _finding(found, settings, around_onsets, locked, bool(varying.any()), bool(halves)),
        },
        weights_sha256=attribution.weights_sha256,
    )


def _maps(
    attribution: SessionAttribution, stored: StoredSession, settings: SubpopulationConfiguration
) -> tuple[npt.NDArray[np.float32], str]:
    """The attribution to cells by clip, (clips, frames, cells), and the method it is by."""
    first: str = "fisher" if "fisher" in attribution.methods else next(iter(attribution.methods))
    method = settings.attribution_method or first
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
            remedy="give the attribution of this session to its neurons, as `attribute` made it",
            object_path=attribution.session,
        )
    return neurons.reshape(len(frames), int(frames[0]), -1), method


def _within_clips(
    attribution: SessionAttribution, maps: npt.NDArray[np.float32], contents: npt.NDArray[np.int64]
) -> TimeCourses:
    times = attribution.time.reshape(len(maps), -1)
    return TimeCourses(
        values=maps,
        shown=np.unique(contents, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64),
        kind=np.zeros(len(maps), dtype=np.int64),
        time=(times - times[:, :1]).mean(0),
    )


class _Rise(NamedTuple):
    """How a mean time course (kinds, B) rises after onsets; NaN where it falls more than it rises."""

    sustained: float
    latency: float
    edge_preference: float

    @classmethod
    def of(cls, strength: _Array, time: _Array) -> _Rise:
        mean = strength.mean(0)
        before, after = time < 0, np.flatnonzero(time >= 0)
        # Without time before the onset the first frame has to stand for it.
        rest = strength[:, before].mean(1) if before.any() else strength[:, after[0]]
        rise = mean[after] - rest.mean()
        peak = int(rise.argmax())
        if rise[peak] <= max(0.0, -float(rise.min())):
            return cls(math.nan, math.nan, math.nan)
        late = rise[-max(1, len(rise) // 3) :].mean()
        half = int(np.flatnonzero(rise[: peak + 1] >= rise[peak] / 2)[0])
        preference = math.nan
        if len(strength) == 2:
            weak, strong = (strength[:, after] - rest[:, None]).mean(1)
            size = abs(weak) + abs(strong)
            preference = float((strong - weak) / size) if size > 0 else math.nan
        return cls(float(late / rise[peak]), float(time[after[half]]), preference)


def _spread(
    coordinates: npt.NDArray[np.float32], groups: Sequence[_Integers], shuffles: int, random: np.random.Generator
) -> tuple[_Array, _Array]:
    """Mean distance of each group's cells from their middle, and its p-value among cells of all groups."""
    places = [coordinates[cells, :2][np.isfinite(coordinates[cells, :2]).all(1)].astype(np.float64) for cells in groups]

    def spread_of(some: _Array) -> float:
        return float(np.linalg.norm(some - some.mean(0), axis=1).mean()) if len(some) > 1 else math.nan

    observed = np.array([spread_of(each) for each in places])
    if len(groups) < 2:
        return observed, np.full(len(groups), np.nan)
    everywhere, borders = np.concatenate(places), np.cumsum([len(each) for each in places])[:-1]
    drawn = np.array(
        [[spread_of(each) for each in np.split(random.permutation(everywhere), borders)] for _ in range(shuffles)]
    )
    return observed, against_draws(observed, drawn)


def _mean_of_known(values: npt.NDArray[Any]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return float(np.nanmean(values, dtype=np.float64))


def _json_able(figures: dict[int, float]) -> dict[str, float | None]:
    return {str(number): value if math.isfinite(value) else None for number, value in figures.items()}


def _finding(
    found: Clustering,
    settings: SubpopulationConfiguration,
    around_onsets: OnsetCourses | None,
    locked: npt.NDArray[np.bool_] | None,
    varying: bool,
    enough: bool,
) -> str:
    """What was found, in words."""
    if around_onsets is None:
        return _division(found, settings, varying, enough, "clips", "within a clip")
    if locked is None:
        division = _division(found, settings, varying, enough, "clips", "within a clip")
        return (
            f"{division} The attribution to fewer than {_LEAST_CELLS} cells follows the onsets of the stimulus, so "
            "clips were compared."
        )
    division = _division(found, settings, varying, enough, "onsets", "around onsets of the stimulus")
    return (
        f"{division} Time courses are those around {len(around_onsets.row)} onsets of the stimulus; the attribution to "
        f"{int(locked.sum())} of {len(locked)} cells follows them, the others belong to no subpopulation."
    )


def _division(
    found: Clustering, settings: SubpopulationConfiguration, varying: bool, enough: bool, epochs: str, where: str
) -> str:
    number = int(found.labels.max()) + 1
    if settings.number is not None:
        stable = [value for value in found.stability.values() if math.isfinite(value)]
        agreement = f" (adjusted Rand index of halves of the {epochs} {stable[0]:.2f})" if stable else ""
        groups = "One subpopulation" if number == 1 else f"{number} subpopulations"
        if number < settings.number:
            return f"{groups}, for the {settings.number} that were asked for: there are too few different time courses."
        return f"{groups}, as many as were asked for{agreement}; whether there are so many is not said."
    if number > 1:
        first = found.first_division
        return (
            f"{number} subpopulations: halves of the {epochs} give the same again (adjusted Rand index "
            f"{found.stability[first]:.2f}), and they stand apart more than groups of one cloud of cells (mean "
            f"silhouette {found.separation[first]:.2f} against {found.cloud_separation[first]:.2f})."
        )
    if not varying:
        reason = f"no cell's attribution changes {where}"
    elif not enough:
        reason = f"there are too few different {epochs} to be halved"
    elif not found.stability:
        reason = "no more were asked for" if settings.most == 1 else "there are too few cells"
    elif not (divided := [number for number, value in found.stability.items() if math.isfinite(value)]):
        reason = "their time courses are too much alike to be divided"
    else:
        reason = (
            f"no division into 2 to {max(divided)} groups was stable over halves of the {epochs} and clearer than "
            "that of one cloud of cells"
        )
    return f"One subpopulation: {reason}."
