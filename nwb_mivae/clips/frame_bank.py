"""Stimulus frames in ``.npy`` files that are read and written a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips.frames import frame_digests
from nwb_mivae.outputs import whole_file

__all__ = ["FrameBank", "frames_of_bank", "new_bank", "write_in_order"]

#: Bytes of frames that are held in memory at a time.
_CHUNK_BYTES = 1 << 25

Frames = npt.NDArray[np.uint8]


def frames_of_bank(path: Path, shape: tuple[int, int]) -> Iterator[tuple[Frames, Frames]]:
    """Frames (n, height, width) and their digests (n, 16), a few at a time, of a file of such frames.

    None come from a file that is absent, cut or of frames of another shape: those were never whole, or belong to other
    settings, and are made again.
    """
    try:
        with path.open("rb") as stream:
            count = _frame_count(stream, shape)
            step = max(1, _CHUNK_BYTES // (shape[0] * shape[1]))
            for first in range(0, count, step):
                wanted = min(step, count - first)
                pixels = np.fromfile(stream, dtype=np.uint8, count=wanted * shape[0] * shape[1])
                frames = pixels[: len(pixels) // (shape[0] * shape[1]) * shape[0] * shape[1]].reshape(-1, *shape)
                yield frames, frame_digests(frames)
    except OSError:
        return


def _frame_count(stream: BinaryIO, shape: tuple[int, int]) -> int:
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            return 0
        stored, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        return 0
    return int(stored[0]) if dtype == np.uint8 and not fortran and stored[1:] == shape else 0


class FrameBank:
    """Appends frames of one shape to a file whose header is brought up to date at the end."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, int]) -> None:
        self._stream = stream
        self._shape = shape
        self._count = 0
        _write_header(stream, 0, shape)

    def append(self, frames: Frames) -> None:
        """Write frames (n, height, width) behind those already there."""
        self._stream.write(np.ascontiguousarray(frames).tobytes())
        self._count += len(frames)

    def finish(self) -> None:
        """Tell the header how many frames there are; NumPy leaves room for that, so its length stays the same."""
        self._stream.seek(0)
        _write_header(self._stream, self._count, self._shape)


@contextmanager
def new_bank(path: Path, shape: tuple[int, int]) -> Iterator[FrameBank]:
    """A file of frames to append to, there whole or not at all."""
    with whole_file(path) as beside, beside.open("wb") as stream:
        bank = FrameBank(stream, shape)
        yield bank
        bank.finish()


def write_in_order(
    path: Path, shape: tuple[int, int], row_of: Mapping[bytes, int], sources: Iterable[Path]
) -> tuple[int, list[int]]:
    """Write the frames of these digests, each at its row, from the files they are scattered over.

    Returns
    -------
    missing : int
        Frames that no file holds.
    blank : list of int
        Rows of uniform frames.
    """
    missing = set(row_of)
    blank: list[int] = []
    size = shape[0] * shape[1]
    with path.open("wb") as stream:
        _write_header(stream, len(row_of), shape)
        offset = stream.tell()
        for source in sources:
            for frames, digests in frames_of_bank(source, shape):
                uniform = frames.reshape(len(frames), -1).min(axis=1) == frames.reshape(len(frames), -1).max(axis=1)
                for frame, digest, is_uniform in zip(frames, digests, uniform, strict=True):
                    key = digest.tobytes()
                    if key not in missing:
                        continue
                    missing.remove(key)
                    stream.seek(offset + row_of[key] * size)
                    stream.write(frame.tobytes())
                    if is_uniform:
                        blank.append(row_of[key])
    return len(missing), sorted(blank)


def _write_header(stream: BinaryIO, count: int, shape: tuple[int, int]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, header)
