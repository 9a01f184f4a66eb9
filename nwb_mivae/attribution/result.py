"""Attribution of one session: how much each neuron and each pixel moved the shared latents, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import AttributionError
from nwb_mivae.result_file import read_result, write_result

__all__ = ["CONTRIBUTIONS", "METHODS", "SOURCES", "Averages", "MethodAttribution", "SessionAttribution", "is_signed"]

_Maps = npt.NDArray[np.float32]
_Source = Literal["neurons", "pixels"]
#: What latents are traced back to.
SOURCES: tuple[_Source, _Source] = ("neurons", "pixels")

#: The score-based methods of the model page, section 5, and those it compares them with.
METHODS = ("score", "fisher", "gradient", "gradient_x_input", "integrated_gradients", "occlusion")
#: Methods whose maps say what each element contributes to a quantity, and add up to it.
CONTRIBUTIONS = ("gradient_x_input", "integrated_gradients", "occlusion")

_MAPS = ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent")
_MAPS_BY_LATENT = ("neurons_by_latent", "pixels_by_latent")
_FRAMES = ("time", "stop_time", "row", "presentation", "clip")


def is_signed(method: str, divided: str | None) -> bool:
    """Whether a method's maps, taken together over latents, have a sign.

    They have where values of different latents may be added. Those of posterior means may not, since which way a latent
    points is arbitrary; and Fisher scores are squares.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`; of others nothing is known, and they are taken to have a sign.
    divided : {"evidence", "mean"} or None
        What contributions add up to; ``None`` where there are none.
    """
    if method not in METHODS:
        return True
    return method == "score" or (method in CONTRIBUTIONS and divided == "evidence")


@dataclass(frozen=True)
class MethodAttribution:
    """One method's attribution of F frames to N neurons and to H x W pixels; none where not asked for.

    Frame ``f`` of ``neurons`` is about the *input* at that frame: how the latents of the whole clip (summed over its
    frames and over the K latents) respond to neuron ``i`` at frame ``f``.

    Attributes
    ----------
    neurons : ndarray of float32, (F, N)
        Per standard deviation of the neuron's activity, or per spike where activity is counts, for ``score``,
        ``fisher`` and ``gradient``; for contributions their own unit, nats for evidence. Over latents the sum, where
        values of different latents may be added; else the root of the sum of squares.
    neurons_per_latent : ndarray of float32, (K, N)
        Session figure per latent, over frames: mean of the absolute value for ``score`` and ``gradient``, root mean
        square for ``fisher``, mean with its sign for contributions.
    pixels : ndarray of float32, (F, H, W)
        Per unit of luminance, black 0 to white 1; contributions as for neurons.
    pixels_per_latent : ndarray of float32, (K, H, W)
        As ``neurons_per_latent``.
    neurons_by_latent, pixels_by_latent : ndarray of float32, (K, F, N) and (K, F, H, W)
        Every latent's own map; signed, but for ``fisher``. ``None`` where not kept.
    signed : bool
        Whether ``neurons`` and ``pixels`` have a sign, see :func:`is_signed`.
    """

    neurons: _Maps
    neurons_per_latent: _Maps
    pixels: _Maps
    pixels_per_latent: _Maps
    neurons_by_latent: _Maps | None = None
    pixels_by_latent: _Maps | None = None
    signed: bool = True


class Averages(NamedTuple):
    """Attribution averaged over frames that belong together: ``labels`` (G,) and ``values`` (G, N) or (G, H, W)."""

    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SessionAttribution:
    """Attribution of a session at F frames.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    methods : mapping of str to MethodAttribution
        Keyed by :data:`METHODS`.
    time, stop_time : ndarray of float64, (F,)
        Onset and end of each frame in seconds on the session's clock, increasing.
    row : ndarray of int64, (F,)
        Row of the frame in the stored session.
    presentation : ndarray of int64, (F,)
        Row of the session's presentation table (``Session.presentations``).
    clip : ndarray of int64, (F,)
        Number of the attributed clip, from 0; frames of one clip are consecutive.
    settings : mapping
        Configuration, seed, how many clips there were and were used, which latents of which block, for ``fisher`` from
        probes the relative standard error of the maps, and for ``integrated_gradients`` what their sums miss.
    weights_sha256 : str
        Digest of the weights behind the attribution; empty where unknown.
    """

    session: str
    methods: Mapping[str, MethodAttribution]
    time: npt.NDArray[np.float64]
    stop_time: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    presentation: npt.NDArray[np.int64]
    clip: npt.NDArray[np.int64]
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def block(self) -> Literal["shared", "private"]:
        """Which latents were traced back; files of earlier versions are of shared ones."""
        private = self.settings.get("configuration", {}).get("of") == "private"
        return "private" if private else "shared"

    @property
    def latents(self) -> list[int]:
        """Number in its block of each latent that was traced back: the rows of ``per_latent`` and ``by_latent``."""
        chosen = self.settings.get("configuration", {}).get("latents")
        if chosen is not None:
            return [int(number) for number in chosen]
        figures = (getattr(each, f"{source}_per_latent") for each in self.methods.values() for source in SOURCES)
        return list(range(max((len(each) for each in figures if each.size), default=0)))

    def maps(self, method: str, to: _Source = "neurons") -> _Maps:
        """The maps of one method, (F, N) to neurons or (F, H, W) to pixels.

        Raises
        ------
        AttributionError
            If there is no such attribution.
        """
        known = [(name, each) for name in self.methods for each in SOURCES if getattr(self.methods[name], each).size]
        if (method, to) not in known:
            raise AttributionError(
                f"no attribution by {method} to {to}",
                expected=f"one of {', '.join(f'{name} to {each}' for name, each in known)}",
                remedy="attribute again, with that method and to that source",
                object_path=self.session,
            )
        return np.asarray(getattr(self.methods[method], to))

    def per_clip(self, method: str, to: _Source = "neurons") -> Averages:
        """The maps of one method averaged over each clip's frames.

        Of contributions with a sign the mean, of everything else the root mean square.
        """
        return self._averages(method, to, self.clip)

    def per_presentation(self, method: str, to: _Source = "neurons") -> Averages:
        """As :meth:`per_clip`, over each presentation's frames; labels are rows of the presentation table."""
        return self._averages(method, to, self.presentation)

    def per_session(self, method: str, to: _Source = "neurons") -> npt.NDArray[np.float64]:
        """As :meth:`per_clip`, over all frames: (N,) or (H, W)."""
        values = self._averages(method, to, np.zeros(len(self.clip), dtype=np.int64)).values
        return np.asarray(values[0])

    def _averages(self, method: str, to: _Source, label: npt.NDArray[np.int64]) -> Averages:
        maps = self.maps(method, to)
        # Contributions add up; a mean with sign of anything else is next to nothing, whatever it is made of.
        signed = self.methods[method].signed and method in CONTRIBUTIONS
        labels = np.unique(label[label >= 0])
        values = np.zeros((len(labels), *maps.shape[1:]))
        for place, each in enumerate(labels):
            frames = maps[label == each].astype(np.float64)
            values[place] = frames.mean(0) if signed else np.sqrt(np.square(frames).mean(0))
        return Averages(labels, values)

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _FRAMES}
        for name, method in self.methods.items():
            parts = {part: getattr(method, part) for part in (*_MAPS, *_MAPS_BY_LATENT)}
            arrays |= {f"{name}.{part}": maps for part, maps in parts.items() if maps is not None}
        values = {
            "session": self.session,
            "methods": list(self.methods),
            "signed": {name: method.signed for name, method in self.methods.items()},
            "settings": dict(self.settings),
            "weights_sha256": self.weights_sha256,
        }
        write_result(path, values, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionAttribution:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        AttributionError
            If the file is missing or not such a file.
        """

        def make(header: dict[str, Any], arrays: Mapping[str, Any]) -> SessionAttribution:
            return cls(
                session=header["session"],
                settings=header["settings"],
                # Files of earlier versions do not say.
                weights_sha256=str(header.get("weights_sha256", "")),
                methods={
                    name: MethodAttribution(
                        **{part: arrays[f"{name}.{part}"] for part in _MAPS},
                        **{part: arrays[f"{name}.{part}"] for part in _MAPS_BY_LATENT if f"{name}.{part}" in arrays},
                        # Files of earlier versions do not say, and have no other methods.
                        signed=bool(header.get("signed", {"score": True, "fisher": False})[name]),
                    )
                    for name in header["methods"]
                },
                **{name: arrays[name] for name in _FRAMES},
            )

        return read_result(path, make, what="attribution", written_by=cls.__name__, error=AttributionError)
