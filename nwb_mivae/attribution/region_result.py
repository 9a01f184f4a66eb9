"""Stimulus regions of one session: what the attribution to pixels falls on, and where each latent's lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.attribution.null_tests import NULLS
from nwb_mivae.attribution.stimulus_statistics import STATISTICS
from nwb_mivae.errors import AttributionError
from nwb_mivae.result_file import read_result, write_result

__all__ = ["SessionStimulusRegions"]

_ARRAYS = (
    "clip",
    "correlation",
    "effect",
    "interval",
    "p_value",
    "p_corrected",
    "smallest_p",
    "null_effect",
    "effect_by_clip",
    "latent_map",
    "latent_centre",
    "latent_extent",
    "latent_concentration",
)


@dataclass(frozen=True)
class SessionStimulusRegions:
    """Association of attribution with S statistics of the stimulus over C clips, and the fields of K latents.

    Axes are in this order: ``total`` and ``unique`` (2), ``statistics`` (S), ``nulls`` (2); ``unique`` is with the
    other statistics regressed out, on ranks. Figures are NaN where ``not_tested`` gives a reason. A clip here is all
    showings of the same frames: they are one, not several.

    The two nulls answer different questions. ``shifted``: does the attribution lie where the statistic is high, for any
    reason? A map that is the same whatever is shown does so too, where frames are alike in the same places (edges in
    the middle, say). ``other_clip``: does it follow the statistic from clip to clip? What all clips have in common, be
    it a fixed map or fixed frames, counts for nothing there. Intervals say how an effect varies over clips; they take
    what the clips have in common as it is.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    attribution_method : str
        Which attribution was compared; of ``score``, which has a sign, the absolute value.
    statistics, nulls : mapping of str to str
        What is compared and what with, each with what it means.
    clip : ndarray of int64, (C,)
        Number of the attributed clip that first shows each.
    correlation : ndarray of float64, (2, S)
        Rank correlation over the pixels of a frame, mean over frames, showings, and clips.
    effect : ndarray of float64, (2, S, 2)
        The same less what the null expects, mean over clips.
    interval : ndarray of float64, (2, S, 2, 2)
        Confidence interval of the effect, low and high, by bootstrap over clips.
    p_value, p_corrected : ndarray of float64, (2, S, 2)
        Two-sided; corrected by Holm's method for all tests of the session.
    smallest_p : ndarray of float64, (2, S, 2)
        What ``p_value`` could have been at best, from so many clips and pixels.
    null_effect : ndarray of float64, (2, S, 2, 101)
        Percentiles 0 to 100 of what the null makes of the effect, in its unit.
    effect_by_clip : ndarray of float64, (2, S, 2, C)
        What each clip adds to the effect, which is their mean; NaN where the statistic does not vary in the clip.
    latent_map : ndarray of float32, (K, H, W)
        Receptive field of each latent, as in :class:`~nwb_mivae.attribution.latent_fields.LatentFields`.
    latent_centre : ndarray of float64, (K, 2)
        Column and row in pixels.
    latent_extent, latent_concentration : ndarray of float64, (K,)
        Share of the frame above half the maximum; share of the energy in the strongest tenth of the pixels.
    not_tested : mapping of str to str
        Why there is no test, by ``"kind/statistic/null"``.
    settings : mapping
        Configuration, seed, and how many clips and frames there were; JSON-able.
    weights_sha256 : str
        Digest of the weights behind the attribution; empty where unknown.
    """

    session: str
    attribution_method: str
    clip: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]
    effect: npt.NDArray[np.float64]
    interval: npt.NDArray[np.float64]
    p_value: npt.NDArray[np.float64]
    p_corrected: npt.NDArray[np.float64]
    smallest_p: npt.NDArray[np.float64]
    null_effect: npt.NDArray[np.float64]
    effect_by_clip: npt.NDArray[np.float64]
    latent_map: npt.NDArray[np.float32]
    latent_centre: npt.NDArray[np.float64]
    latent_extent: npt.NDArray[np.float64]
    latent_concentration: npt.NDArray[np.float64]
    not_tested: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    statistics: Mapping[str, str] = field(default_factory=lambda: dict(STATISTICS))
    nulls: Mapping[str, str] = field(default_factory=lambda: dict(NULLS))

    def in_words(self) -> dict[str, str]:
        """What can and cannot be concluded about each statistic, in plain sentences."""
        return {name: self._sentences(place, name) for place, name in enumerate(self.statistics)}

    def strongest(self) -> str:
        """The statistic that most can be said of: followed from clip to clip, then met where it lies, then by effect.

        One of the ``statistics`` whatever was found: where nothing was, its sentences say so.
        """

        def weight(name: str) -> tuple[bool, bool, float, float]:
            place = list(self.statistics).index(name)
            sizes = np.nan_to_num(np.abs(self.effect[0, place]), nan=-1.0)
            shifted, other_clip = (bool(self._direction(0, place, null)) for null in range(2))
            return other_clip, shifted, float(sizes[1]), float(sizes[0])

        return max(self.statistics, key=weight)

    def can_find(self, null: str) -> bool:
        """Whether so many clips and pixels could have given a finding against this null, whatever the data."""
        which = list(self.nulls).index(null)
        return any(
            not self._out_of_reach(0, place, which)
            for place in range(len(self.statistics))
            if math.isfinite(self.p_value[0, place, which])
        )

    def _sentences(self, place: int, name: str) -> str:
        label = name.replace("_", " ")
        if math.isnan(self.correlation[0, place]):
            return f"Nothing is known about {label}: {self.not_tested[f'total/{name}/shifted']}."
        where, follows = self._direction(0, place, 0), self._direction(0, place, 1)
        figures = [self._figures(0, place, null) for null in range(len(self.nulls))]
        if where:
            text = f"Attribution lies where {label} is {where} ({figures[0]})"
        else:
            text = f"Attribution is not shown to lie where {label} is high or low more than if shifted ({figures[0]})"
            text += ", which so few pixels cannot show" if self._out_of_reach(0, place, 0) else ""
        if reason := self.not_tested.get(f"total/{name}/other_clip"):
            text += f"; whether it follows {label} from clip to clip is not known: {reason}"
        elif follows:
            joint = "and" if where == follows else "but"
            text += f", {joint} from clip to clip it follows {follows} {label} ({figures[1]})"
        else:
            text += f"; it is not shown to follow {label} from clip to clip ({figures[1]})"
            text += ", so that a map that is the same in all clips may be the reason" if where else ""
            text += ", which so few clips cannot show" if self._out_of_reach(0, place, 1) else ""
        return f"{text}. {self._unique_sentence(place, name)}"

    def _unique_sentence(self, place: int, name: str) -> str:
        found = [
            f"{direction} values more than {label} are ({self._figures(1, place, null)})"
            for null, label in enumerate(("shifted maps", "other clips"))
            if (direction := self._direction(1, place, null))
        ]
        if found:
            return f"Beyond the other statistics it is drawn to {' and to '.join(found)}."
        if reason := self.not_tested.get(f"unique/{name}/shifted"):
            return f"What it has beyond the other statistics is not known: {reason}."
        return "Nothing is shown that it has beyond the other statistics."

    def _direction(self, kind: int, place: int, null: int) -> str:
        """The direction of a finding, empty where there is none."""
        if not self.p_corrected[kind, place, null] <= self._level:
            return ""
        return "high" if self.effect[kind, place, null] > 0 else "low"

    def _figures(self, kind: int, place: int, null: int) -> str:
        if math.isnan(self.effect[kind, place, null]):
            return "not tested"
        low, high = self.interval[kind, place, null]
        interval = "no interval from one clip" if math.isnan(low) else f"over clips {low:.3f} to {high:.3f}"
        p_value = self.p_corrected[kind, place, null]
        return f"effect {self.effect[kind, place, null]:.3f}, {interval}, corrected p = {p_value:.2g}"

    def _out_of_reach(self, kind: int, place: int, null: int) -> bool:
        """Whether no data could have been a finding: the first of a null's tests is corrected for all of them."""
        tests = int(np.isfinite(self.p_value[:, :, null]).sum())
        return bool(self.smallest_p[kind, place, null] * tests > self._level)

    @property
    def _level(self) -> float:
        return 1.0 - float(self.settings["configuration"]["confidence"])

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        values = {
            "session": self.session,
            "attribution_method": self.attribution_method,
            "statistics": dict(self.statistics),
            "nulls": dict(self.nulls),
            "not_tested": dict(self.not_tested),
            "settings": dict(self.settings),
            "weights_sha256": self.weights_sha256,
        }
        write_result(path, values, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionStimulusRegions:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        AttributionError
            If the file is missing or not such a file.
        """

        def make(header: dict[str, Any], arrays: Mapping[str, Any]) -> SessionStimulusRegions:
            return cls(
                session=header["session"],
                attribution_method=header["attribution_method"],
                statistics=header["statistics"],
                nulls=header["nulls"],
                not_tested=header["not_tested"],
                settings=header["settings"],
                weights_sha256=str(header["weights_sha256"]),
                **{name: arrays[name] for name in _ARRAYS},
            )

        return read_result(path, make, what="stimulus regions", written_by=cls.__name__, error=AttributionError)
