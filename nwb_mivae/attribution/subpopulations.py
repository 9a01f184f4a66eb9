"""Subpopulations: cells of a session grouped by the time course of their attribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import AttributionError
from nwb_mivae.result_file import read_result, write_result

__all__ = ["SessionSubpopulations"]

_ARRAYS = ("subpopulation", "confidence", "profile", "profile_time")


@dataclass(frozen=True)
class SessionSubpopulations:
    """C subpopulations of the N cells of a session.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    method : str
        How cells were grouped.
    attribution_method : str
        Which attribution was grouped, for example ``"score"``.
    subpopulation : ndarray of int32, (N,)
        Row of the subpopulation of each cell in ``profile``; -1 where a cell belongs to none.
    confidence : ndarray of float32, (N,)
        Silhouette of each cell in its subpopulation, -1 to 1; NaN where it belongs to none, or where there is only one.
    profile : ndarray of float32, (C, B)
        Mean time course of the attribution to a subpopulation's cells.
    profile_time : ndarray of float64, (B,)
        Start of each bin of the profile in seconds from the onset of the stimulus, or of a clip.
    statistics : mapping of str to (description, ndarray (C,))
        Figures of each subpopulation, for example its stability, each with what it means; NaN where not defined.
    settings : mapping
        Settings and seed, what the number of subpopulations was chosen by, and a sentence that says so; JSON-able.
    weights_sha256 : str
        Digest of the weights behind the attribution; empty where unknown.
    """

    session: str
    method: str
    attribution_method: str
    subpopulation: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    profile: npt.NDArray[np.float32]
    profile_time: npt.NDArray[np.float64]
    statistics: Mapping[str, tuple[str, npt.NDArray[np.float64]]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"statistics.{name}": values for name, (_, values) in self.statistics.items()}
        values = {
            "session": self.session,
            "method": self.method,
            "attribution_method": self.attribution_method,
            "statistics": {name: description for name, (description, _) in self.statistics.items()},
            "settings": dict(self.settings),
            "weights_sha256": self.weights_sha256,
        }
        write_result(path, values, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionSubpopulations:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        AttributionError
            If the file is missing or not such a file.
        """

        def make(header: dict[str, Any], arrays: Mapping[str, Any]) -> SessionSubpopulations:
            return cls(
                session=header["session"],
                method=header["method"],
                attribution_method=header["attribution_method"],
                statistics={
                    name: (description, arrays[f"statistics.{name}"])
                    for name, description in header["statistics"].items()
                },
                settings=header["settings"],
                weights_sha256=str(header["weights_sha256"]),
                **{name: arrays[name] for name in _ARRAYS},
            )

        return read_result(path, make, what="subpopulations", written_by=cls.__name__, error=AttributionError)
