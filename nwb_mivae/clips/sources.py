"""Which bytes a session was prepared from: what makes two sources the same, and what the manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.archive import find_asset, is_address, is_remote, parse_address
from nwb_mivae.outputs import sha256_of_file
from nwb_mivae.sessions.session import Session
from nwb_mivae.sessions.zarr_folder import digest_of_folder, is_zarr_folder

__all__ = ["SourceFile", "identify", "number_of_file", "source_record"]


class SourceFile(NamedTuple):
    """One file of a session.

    Attributes
    ----------
    path : str
        Local path, or the pinned address of an asset.
    sha256 : str or None
        Digest of its bytes; of an asset that which the archive has, if any; of a Zarr folder see
        :func:`nwb_mivae.sessions.zarr_folder.digest_of_folder`.
    digest : str or None
        The same for equal bytes: the SHA-256, or else the archive's own digest; ``None`` where nothing tells.
    """

    path: str
    sha256: str | None
    digest: str | None


def identify(source: str) -> SourceFile:
    """What tells the bytes of a source; nothing of a remote one is fetched.

    Raises
    ------
    ArchiveError
        If an address names no asset, or the archive cannot be reached.
    OSError
        If a local file cannot be read.
    """
    if is_address(source):
        asset = find_asset(parse_address(source))
        sha256 = asset.digests.get("dandi:sha2-256")
        return SourceFile(asset.pinned_address, sha256, sha256 or asset.digests.get("dandi:dandi-etag"))
    path = Path(source)
    if is_remote(source) or not (path.is_file() or is_zarr_folder(path)):
        return SourceFile(source, None, None)
    sha256 = digest_of_folder(path) if path.is_dir() else sha256_of_file(path)
    return SourceFile(source, sha256, sha256)


def source_record(
    session: Session, trace_path: str, files: Sequence[SourceFile], left_out: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """What the manifest says about where a session came from; see :attr:`nwb_mivae.clips.StoredSession.source`."""
    records = [
        {
            "path": provenance.path,
            "sha256": file.sha256,
            "object_id": provenance.object_id,
            "identifier": provenance.identifier,
            "asset": provenance.asset,
        }
        for provenance, file in zip(session.files or (session.provenance,), files, strict=True)
    ]
    return {
        **records[0],
        "session_id": session.provenance.session_id,
        "trace_path": trace_path,
        "files": records,
        "left_out": list(left_out),
    }


def number_of_file(session: Session, source_file: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each of these paths its place among the session's files."""
    places = {provenance.path: number for number, provenance in enumerate(session.files or (session.provenance,))}
    return np.array([places[path] for path in source_file], dtype=np.int64)
