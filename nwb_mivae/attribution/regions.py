"""From a session's attribution to pixels to the regions of the stimulus that it falls on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.association import rank_maps
from nwb_mivae.attribution.clip_correlations import KINDS, RankedClip, between_clips, by_shift
from nwb_mivae.attribution.configuration import StimulusRegionConfiguration
from nwb_mivae.attribution.latent_fields import latent_fields
from nwb_mivae.attribution.null_tests import NULLS, NullTest, against_other_clips, against_shifts, holm
from nwb_mivae.attribution.region_result import SessionStimulusRegions
from nwb_mivae.attribution.stimulus_statistics import STATISTICS, stimulus_statistics
from nwb_mivae.clips import evenly
from nwb_mivae.errors import AttributionError

if TYPE_CHECKING:
    from nwb_mivae.attribution.result import SessionAttribution
    from nwb_mivae.clips import ClipStore

__all__ = ["find_stimulus_regions"]

_Array = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

#: Different clips, below which there is no saying what other clips are like.
_LEAST_CLIPS = 4


def find_stimulus_regions(
    attribution: SessionAttribution,
    store: ClipStore,
    *,
    method: str | None = None,
    configuration: StimulusRegionConfiguration | None = None,
    seed: int = 0,
) -> SessionStimulusRegions:
    """Compare where the attribution to pixels lies with what is shown there, and describe each latent's field.

    The magnitude of the attribution is correlated, by ranks and frame by frame, with luminance, edge strength,
    orientation energy, local contrast, and luminance change; once with each as it is, and once with what the others
    leave of both (partial correlation). Means over clips are tested against two nulls, which answer different questions
    (:class:`~nwb_mivae.attribution.SessionStimulusRegions`), and p-values are corrected for all tests of the session.
    Showings of the same frames count as one clip, and are never the other clip of one another; nor are frames of the
    same pixels compared in different clips.

    Whether maps are as likely here as there, which is what ``shifted`` takes for granted, fails where attribution and
    statistic have the same places in every clip: the middle, or away from the borders, where windows are cut. That
    clips can be exchanged, which ``other_clip`` takes for granted, fails where clips that follow each other in one
    movie are alike: there are then fewer different ones than are counted, intervals are too narrow, and p-values too
    small. Correlations are with the model's use of pixels, of which noise in the maps (``fisher`` from few probes)
    hides a part. A unique effect that is small beside the total one may be what a straight line through ranks leaves of
    the other statistics.

    Parameters
    ----------
    attribution : SessionAttribution
        Of the session.
    store : ClipStore
        Where the session's frames are.
    method : str, optional
        Which attribution; ``fisher`` where there is one, else the first.
    configuration : StimulusRegionConfiguration, optional
    seed : int
        Draws permutations and the clips of the bootstrap.

    Returns
    -------
    SessionStimulusRegions

    Raises
    ------
    AttributionError
        If the attribution lacks the method or is not of whole clips of a session of the store at its resolution.
    """
    settings = configuration or StimulusRegionConfiguration()
    name = method or ("fisher" if "fisher" in attribution.methods else next(iter(attribution.methods)))
    maps = _maps(attribution, store, name)
    stored = store.sessions[attribution.session]
    rows = attribution.row.reshape(maps.shape[:2])
    content = np.asarray(stored.content[rows])
    showings = _showings(content)
    chosen = [showings[place] for place in evenly(np.arange(len(showings)), settings.clips)]
    frames = evenly(np.arange(maps.shape[1]), settings.frames_per_clip)
    shown = content[[same[0] for same in chosen]][:, frames]
    clips: list[RankedClip] = []
    shifts = _Shifts()
    for same, content_of_clip in zip(chosen, shown, strict=True):
        # Changes are to the frame before, so that statistics are taken of all frames.
        values = stimulus_statistics(store.stimulus[stored.stimulus_row[rows[same[0]]]])
        clip = RankedClip(
            attributions=np.stack([rank_maps(np.abs(maps[showing, frames])) for showing in same]),
            statistics=np.stack([rank_maps(values[statistic][frames]) for statistic in STATISTICS]),
            shown=content_of_clip,
        )
        clips.append(clip)
        shifts.add(by_shift(clip))
    between = between_clips(clips)
    figures = _Figures(len(clips))
    random = np.random.default_rng(seed)
    for place in np.ndindex(len(KINDS), len(STATISTICS)):
        figures.test(place, shifts, between[place], settings, random)
    fields = latent_fields(np.abs(attribution.methods[name].pixels_per_latent))
    return SessionStimulusRegions(
        session=attribution.session,
        attribution_method=name,
        clip=np.array([same[0] for same in chosen], dtype=np.int64),
        correlation=figures.correlation,
        effect=figures.effect,
        interval=figures.interval,
        p_value=figures.p_value,
        p_corrected=holm(figures.p_value),
        smallest_p=figures.smallest_p,
        null_effect=figures.null_effect,
        effect_by_clip=figures.effect_by_clip,
        latent_map=fields.map,
        latent_centre=fields.centre,
        latent_extent=fields.extent,
        latent_concentration=fields.concentration,
        not_tested=figures.not_tested,
        settings={
            "configuration": settings.model_dump(mode="json"),
            "seed": seed,
            "block": attribution.block,
            "latents": attribution.latents,
            "clips": len(maps),
            "different_clips": len(showings),
            "different_clips_compared": len(chosen),
            "frames_per_clip_compared": len(frames),
            "shifts": 4 * maps.shape[2] * maps.shape[3],
            "tests": int(np.isfinite(figures.p_value).sum()),
        },
        weights_sha256=attribution.weights_sha256,
    )


def _maps(attribution: SessionAttribution, store: ClipStore, method: str) -> npt.NDArray[np.float32]:
    """The attribution to pixels by clip, (clips, frames, H, W)."""
    if method not in attribution.methods:
        raise AttributionError(
            f"an attribution by {', '.join(attribution.methods)}",
            expected=method,
            remedy="attribute again with that method, or choose another for the stimulus regions",
            object_path=attribution.session,
        )
    if not attribution.methods[method].pixels.size:
        raise AttributionError(
            "an attribution to neurons alone",
            expected="one to pixels",
            remedy="attribute to pixels as well (attribution.to)",
            object_path=attribution.session,
        )
    if attribution.session not in store.sessions:
        raise AttributionError(
            f"an attribution of {attribution.session!r}",
            expected=f"one of {', '.join(store.sessions)}",
            remedy="give the store that the attribution was made with",
            file=store.path,
        )
    pixels = attribution.methods[method].pixels
    stored = store.sessions[attribution.session]
    _, frames = np.unique(attribution.clip, return_counts=True)
    whole = len(pixels) > 0 and len(pixels) == frames.sum() and bool((frames == frames[0]).all())
    if not whole or pixels.shape[1:] != store.stimulus.shape[1:] or attribution.row.max() >= stored.n_frames:
        raise AttributionError(
            f"an attribution of {len(pixels)} frames of {pixels.shape[1]} x {pixels.shape[2]} pixels",
            expected=f"whole clips of {store.height} x {store.width} pixels among the session's {stored.n_frames} "
            "frames",
            remedy="give the attribution of this session, as `attribute` made it, and the store it was made with",
            file=store.path,
            object_path=attribution.session,
        )
    return pixels.reshape(len(frames), int(frames[0]), *pixels.shape[1:])


def _showings(content: _Integers) -> list[_Integers]:
    """Clips (by number) that show the same frames, together; in the order of the first of each."""
    _, first, which = np.unique(content, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    return [np.flatnonzero(which == which[place]) for place in np.sort(first)]


class _Shifts:
    """Correlations at every shift: of each clip without one and on average, and of all clips together at each."""

    def __init__(self) -> None:
        self.observed: list[_Array] = []
        self.expected: list[_Array] = []
        self._sum: _Array = np.zeros(1)

    def add(self, correlation: _Array) -> None:
        """Add a clip's correlations (2, S, 2 * H, 2 * W)."""
        self.observed.append(correlation[..., 0, 0])
        self.expected.append(correlation.mean(axis=(-2, -1)))
        self._sum = self._sum + np.nan_to_num(correlation)

    def mean(self, place: tuple[int, ...], clips: int) -> _Array:
        """Mean over the clips (of which there are so many) that have the correlation at ``place``, by shift."""
        return np.asarray(self._sum[place].ravel() / clips)


class _Figures:
    """The figures of all tests, NaN until there is one."""

    def __init__(self, clips: int) -> None:
        shape = (len(KINDS), len(STATISTICS), len(NULLS))
        self.correlation = np.full(shape[:2], np.nan)
        self.effect, self.p_value, self.smallest_p = np.full((3, *shape), np.nan)
        self.interval = np.full((*shape, 2), np.nan)
        self.null_effect = np.full((*shape, 101), np.nan)
        self.effect_by_clip = np.full((*shape, clips), np.nan)
        self.not_tested: dict[str, str] = {}

    def test(
        self,
        place: tuple[int, ...],
        shifts: _Shifts,
        between: _Array,
        settings: StimulusRegionConfiguration,
        random: np.random.Generator,
    ) -> None:
        """Both tests of one kind and statistic, or why there is none."""
        kind, statistic = KINDS[place[0]], list(STATISTICS)[place[1]]
        observed = np.array([each[place] for each in shifts.observed])
        known = np.flatnonzero(np.isfinite(observed))
        if not len(known):
            reason = "in no frame do both it and the attribution vary"
            if kind == "unique" and math.isfinite(self.correlation[0, place[1]]):
                reason = "the other statistics leave nothing of it, or of the attribution"
            self.not_tested.update({f"{kind}/{statistic}/{null}": reason for null in NULLS})
            return
        self.correlation[place] = observed[known].mean()
        expected = np.array([each[place] for each in shifts.expected])
        shifted = shifts.mean(place, len(known))
        test = against_shifts(observed[known], expected[known], shifted, confidence=settings.confidence, random=random)
        self._put(place, "shifted", test, known, 1 / len(shifted))
        known = _all_comparable(between)
        if len(known) < _LEAST_CLIPS:
            self.not_tested[f"{kind}/{statistic}/other_clip"] = (
                f"there are {len(known)} different clips to compare, fewer than the {_LEAST_CLIPS} that it takes"
            )
            return
        test = against_other_clips(
            between[np.ix_(known, known)],
            permutations=settings.permutations,
            confidence=settings.confidence,
            random=random,
        )
        smallest = max(1 / (1 + settings.permutations), 1 / math.factorial(len(known)))
        self._put(place, "other_clip", test, known, smallest)

    def _put(self, place: tuple[int, ...], null: str, test: NullTest, clips: _Integers, smallest_p: float) -> None:
        where = (*place, list(NULLS).index(null))
        self.effect[where] = test.effect
        self.interval[where] = test.interval
        self.p_value[where] = test.p_value
        self.smallest_p[where] = smallest_p
        self.null_effect[where] = test.null
        self.effect_by_clip[where][clips] = test.by_clip


def _all_comparable(correlation: _Array) -> _Integers:
    """Clips that can be compared with themselves and with each other, others dropped one by one until that is so."""
    clips = np.flatnonzero(np.isfinite(correlation.diagonal()))
    while len(clips):
        gaps = np.isnan(correlation[np.ix_(clips, clips)])
        missing = gaps.sum(axis=0) + gaps.sum(axis=1)
        if not missing.any():
            break
        clips = np.delete(clips, missing.argmax())
    return clips
