"""Attribution of one session: how much each neuron and each pixel moved the shared latents, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import AttributionError
from nwb_mivae.outputs import whole_file

__all__ = ["METHODS", "MethodAttribution", "SessionAttribution"]

#: The two score-based methods of the model page, section 5.
METHODS = ("score", "fisher")

_MAPS = ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent")
_FRAMES = ("time", "stop_time", "row", "presentation", "clip")


@dataclass(frozen=True)
class MethodAttribution:
    """One method's attribution of F frames to N neurons and to H x W pixels.

    Frame ``f`` of ``neurons`` is about the *input* at that frame: how the latents of the whole clip (summed over its
    frames and over the K latents) respond to neuron ``i`` at frame ``f``.

    Attributes
    ----------
    neurons : ndarray of float32, (F, N)
        Per standard deviation of the neuron's activity. Signed for ``score``, not negative for ``fisher``.
    neurons_per_latent : ndarray of float32, (K, N)
        Session figure per latent: mean over frames of the absolute value for ``score``, root mean square over frames
        for ``fisher``.
    pixels : ndarray of float32, (F, H, W)
        Per unit of luminance, black 0 to white 1.
    pixels_per_latent : ndarray of float32, (K, H, W)
        As ``neurons_per_latent``.
    """

    neurons: npt.NDArray[np.float32]
    neurons_per_latent: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.float32]
    pixels_per_latent: npt.NDArray[np.float32]


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
        Configuration, seed, how many clips there were and were used, and for ``fisher`` from probes the relative
        standard error of the maps.
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

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _FRAMES}
        for name, method in self.methods.items():
            arrays |= {f"{name}.{part}": getattr(method, part) for part in _MAPS}
        values = {
            "session": self.session,
            "methods": list(self.methods),
            "settings": dict(self.settings),
            "weights_sha256": self.weights_sha256,
        }
        header = json.dumps(values, allow_nan=False)
        with whole_file(path) as beside, open(beside, "wb") as stream:
            np.savez(stream, header=np.array(header), **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionAttribution:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        AttributionError
            If the file is missing or not such a file.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                header = json.loads(str(arrays["header"]))
                return cls(
                    session=header["session"],
                    settings=header["settings"],
                    # Files of earlier versions do not say.
                    weights_sha256=str(header.get("weights_sha256", "")),
                    methods={
                        name: MethodAttribution(**{part: arrays[f"{name}.{part}"] for part in _MAPS})
                        for name in header["methods"]
                    },
                    **{name: arrays[name] for name in _FRAMES},
                )
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as problem:
            raise AttributionError(
                f"a file that holds no attribution ({problem})",
                expected="an .npz file written by SessionAttribution.save",
                remedy="compute the attribution again",
                file=path,
            ) from problem
