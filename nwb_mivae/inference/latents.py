"""Latents of one session: posterior means and variances of every block, frame by frame, on the session's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import ModelError
from nwb_mivae.result_file import read_result, write_result

__all__ = ["BLOCKS", "LatentBlock", "SessionLatents"]

#: The four latent blocks of miVAE, in the order results are written.
BLOCKS = ("neural_shared", "neural_private", "stimulus_shared", "stimulus_private")


class LatentBlock(NamedTuple):
    """Posterior of one block: ``mean`` and ``variance``, both (frames, latents) float32."""

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SessionLatents:
    """Latents of a session at F encoded frames.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    time : ndarray of float64, (F,)
        Onset of each frame in seconds on the session's clock, increasing.
    stop_time : ndarray of float64, (F,)
        End of each frame, seconds.
    row : ndarray of int64, (F,)
        Row of the frame in the stored session.
    presentation : ndarray of int64, (F,)
        Row of the session's presentation table (``Session.presentations``) that the frame belongs to.
    clip : ndarray of int64, (F,)
        Number of the clip the frame was encoded in; frames of one clip are consecutive.
    part : ndarray of int8, (F,)
        0 training (and context) split, 1 validation, 2 test.
    blocks : mapping of str to LatentBlock
        Keyed by :data:`BLOCKS`.
    context : mapping
        What the model saw of this animal: ``{"clips": int, "minutes": float}``; zeros without context.
    weights_sha256 : str
        Digest of the weights behind the latents; empty where unknown.
    """

    session: str
    time: npt.NDArray[np.float64]
    stop_time: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    presentation: npt.NDArray[np.int64]
    clip: npt.NDArray[np.int64]
    part: npt.NDArray[np.int8]
    blocks: Mapping[str, LatentBlock]
    context: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {
            name: getattr(self, name) for name in ("time", "stop_time", "row", "presentation", "clip", "part")
        }
        for name, block in self.blocks.items():
            arrays[f"{name}.mean"] = block.mean
            arrays[f"{name}.variance"] = block.variance
        header = {"session": self.session, "context": dict(self.context), "weights_sha256": self.weights_sha256}
        write_result(path, header, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionLatents:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        ModelError
            If the file is missing or not such a file.
        """

        def make(header: dict[str, Any], arrays: Mapping[str, Any]) -> SessionLatents:
            blocks = {
                name: LatentBlock(arrays[f"{name}.mean"], arrays[f"{name}.variance"])
                for name in BLOCKS
                if f"{name}.mean" in arrays
            }
            return cls(
                session=header["session"],
                context=header["context"],
                # Files of earlier versions do not say.
                weights_sha256=str(header.get("weights_sha256", "")),
                blocks=blocks,
                **{name: arrays[name] for name in ("time", "stop_time", "row", "presentation", "clip", "part")},
            )

        return read_result(path, make, what="latents", written_by=cls.__name__, error=ModelError)
