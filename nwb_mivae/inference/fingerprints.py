"""Functional fingerprints: what the model knows of each cell, from how it answered the stimulus in the context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import ModelError
from nwb_mivae.inference.context import session_context
from nwb_mivae.model import ContextTiming
from nwb_mivae.result_file import read_result, write_result

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.model import Context, MiVAEModule

__all__ = ["SessionFingerprints", "session_fingerprints"]


@dataclass(frozen=True)
class SessionFingerprints:
    """Fingerprints of the N cells of a session.

    Attributes
    ----------
    session : str
        Key of the session in the store.
    fingerprints : ndarray of float32, (N, L, F)
        Whitened covariance of each cell's activity with F stimulus features at L lags.
    lags_in_seconds : ndarray of float64, (L,)
        How long before the activity the stimulus was shown, increasing.
    n_frames : int
        Frames of context they were computed from.
    weights_sha256 : str
        Digest of the weights behind the features; empty where unknown.
    """

    session: str
    fingerprints: npt.NDArray[np.float32]
    lags_in_seconds: npt.NDArray[np.float64]
    n_frames: int
    weights_sha256: str = ""

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.npz`` file, whole or not at all."""
        header = {"session": self.session, "n_frames": self.n_frames, "weights_sha256": self.weights_sha256}
        arrays = {"fingerprints": self.fingerprints, "lags_in_seconds": self.lags_in_seconds}
        write_result(path, header, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SessionFingerprints:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises
        ------
        ModelError
            If the file is missing or not such a file.
        """

        def make(header: dict[str, Any], arrays: Mapping[str, Any]) -> SessionFingerprints:
            return cls(
                session=header["session"],
                fingerprints=arrays["fingerprints"],
                lags_in_seconds=arrays["lags_in_seconds"],
                n_frames=int(header["n_frames"]),
                weights_sha256=str(header["weights_sha256"]),
            )

        return read_result(path, make, what="fingerprints", written_by=cls.__name__, error=ModelError)


def session_fingerprints(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    session: str,
    *,
    context: Context | None = None,
    weights_sha256: str = "",
) -> SessionFingerprints | None:
    """Fingerprints of a session's cells, from its training part alone.

    Parameters
    ----------
    module : MiVAEModule
        The trained module; it is left in the mode it was in.
    store, split : ClipStore, Split
        Where the session lies, and what is held out.
    session : str
        Key of the session.
    context : Context, optional
        The session's context, where :func:`session_context` was already called; computed where left out.
    weights_sha256 : str
        What :func:`~nwb_mivae.model.weights_digest` says of the module's folder; kept with the result.

    Returns
    -------
    SessionFingerprints or None
        None where the design uses no context, or the session shows nothing of the training part.

    Raises
    ------
    ModelError
        If the context is that of other cells.
    """
    if not module.uses_context:
        return None
    context = session_context(module, store, split, session) if context is None else context
    if context is None:
        return None
    n_cells = store.sessions[session].n_cells
    if len(context.fingerprints) != n_cells:
        raise ModelError(
            f"a context of {len(context.fingerprints)} cells",
            expected=f"{n_cells}, as the session has",
            remedy="give the context of this session, or none",
            file=store.path,
            object_path=session,
        )
    lags = np.asarray(ContextTiming.of(module.configuration, module.shape.frame_rate).lags)
    by_lag = context.fingerprints.detach().cpu().numpy().reshape(n_cells, len(lags), -1)
    # The configuration may name its lags in any order; a reader of results expects an axis that increases.
    order = np.argsort(lags)
    return SessionFingerprints(
        session=session,
        fingerprints=np.ascontiguousarray(by_lag[:, order], dtype=np.float32),
        lags_in_seconds=lags[order] / module.shape.frame_rate,
        n_frames=context.n_frames,
        weights_sha256=weights_sha256,
    )
