"""Stimulus frames in ``.npy`` files, each known by its digest; read, written and ordered a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips.frames import DIGEST_BYTES, frame_digests
from nwb_mivae.outputs import whole_file

__all__ = ["FrameBank", "NewBank", "new_bank", "open_bank", "write_in_order"]

#: Bytes of frames that are held in memory at a time.
_CHUNK_BYTES = 1 << 25

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FrameBank:
    """What a file of n frames holds.

    Attributes
    ----------
    path : Path
        An ``.npy`` file, uint8 (n, height, width).
    offset : int
        Byte at which the frames begin.
    digests : ndarray of uint8, (n, 16)
        What each frame is known by.
    uniform : ndarray of bool, (n,)
        Frames whose pixels are all equal.
    intact : bool
        Whether the file has as many frames as its header says.
    """

    path: Path
    offset: int
    digests: npt.NDArray[np.uint8]
    uniform: npt.NDArray[np.bool_]
    intact: bool

    @property
    def keys(self) -> list[bytes]:
        """The digest of each frame."""
        data = self.digests.tobytes()
        return [data[first : first + DIGEST_BYTES] for first in range(0, len(data), DIGEST_BYTES)]

    def holds_just(self, row_of: Mapping[bytes, int]) -> bool:
        """Whether its frames are those of these digests, all of them and each at its row."""
        return self.intact and len(self.digests) == len(row_of) and self.digests.tobytes() == b"".join(row_of)


def open_bank(path: Path, shape: tuple[int, int]) -> FrameBank:
    """Read a file of frames and digest what it holds.

    A file that is absent, or holds frames of another shape, is a bank of none; of one that was cut the whole frames
    count. What is not there is made again.
    """
    size = shape[0] * shape[1]
    digests, uniform = [np.empty((0, DIGEST_BYTES), dtype=np.uint8)], [np.empty(0, dtype=bool)]
    try:
        with path.open("rb") as stream:
            count = _frame_count(stream, shape)
            offset = stream.tell()
            step = max(1, _CHUNK_BYTES // size)
            for first in range(0, count, step):
                pixels = np.fromfile(stream, dtype=np.uint8, count=min(step, count - first) * size)
                frames = pixels[: len(pixels) // size * size].reshape(-1, *shape)
                if not len(frames):
                    break
                digests.append(frame_digests(frames))
                uniform.append(_uniform(frames))
    except OSError:
        # As if it were absent: its frames are made again.
        return FrameBank(path, 0, digests[0], uniform[0], intact=False)
    found = np.concatenate(digests)
    return FrameBank(path, offset, found, np.concatenate(uniform), intact=len(found) == count)


def _frame_count(stream: BinaryIO, shape: tuple[int, int]) -> int:
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            return 0
        stored, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except ValueError:
        return 0
    return int(stored[0]) if dtype == np.uint8 and not fortran and stored[1:] == shape else 0


def _uniform(frames: Frames) -> npt.NDArray[np.bool_]:
    pixels = frames.reshape(len(frames), -1)
    return np.asarray((pixels == pixels[:, :1]).all(axis=1))


class NewBank:
    """Appends frames of one shape to a file whose header is brought up to date at the end."""

    def __init__(self, path: Path, stream: BinaryIO, shape: tuple[int, int]) -> None:
        self._path = path
        self._stream = stream
        self._shape = shape
        self._digests: list[npt.NDArray[np.uint8]] = []
        self._uniform: list[npt.NDArray[np.bool_]] = []
        _write_header(stream, 0, shape)
        self._offset = stream.tell()

    def append(self, frames: Frames, digests: npt.NDArray[np.uint8]) -> None:
        """Write frames (n, height, width), whose digests (n, 16) are these, behind those already there."""
        self._stream.write(np.ascontiguousarray(frames).data)
        self._digests.append(digests)
        self._uniform.append(_uniform(frames))

    def finish(self) -> FrameBank:
        """Tell the header how many frames there are; NumPy leaves room for that, so its length stays the same."""
        digests = np.concatenate([np.empty((0, DIGEST_BYTES), dtype=np.uint8), *self._digests])
        self._stream.seek(0)
        _write_header(self._stream, len(digests), self._shape)
        uniform = np.concatenate([np.empty(0, dtype=bool), *self._uniform])
        return FrameBank(self._path, self._offset, digests, uniform, intact=True)


@contextmanager
def new_bank(path: Path, shape: tuple[int, int]) -> Iterator[NewBank]:
    """A file of frames to append to and to finish, there whole or not at all."""
    with whole_file(path) as beside, beside.open("wb") as stream:
        yield NewBank(path, stream, shape)


def write_in_order(path: Path, shape: tuple[int, int], row_of: Mapping[bytes, int], banks: Iterable[FrameBank]) -> int:
    """Write the frames of these digests, each at its row, from the banks they are scattered over.

    Returns
    -------
    int
        Frames that no bank holds.
    """
    size = shape[0] * shape[1]
    wanted = np.ones(len(row_of), dtype=bool)
    with path.open("wb") as stream:
        _write_header(stream, len(row_of), shape)
        offset = stream.tell()
        for bank in banks:
            rows = np.array([row_of.get(key, -1) for key in bank.keys], dtype=np.int64)
            chosen = np.flatnonzero(rows >= 0)
            chosen = chosen[wanted[rows[chosen]]]
            if not len(chosen):
                continue
            wanted[rows[chosen]] = False
            with bank.path.open("rb") as source:
                for first, last in _runs(chosen, rows[chosen], max(1, _CHUNK_BYTES // size)):
                    source.seek(bank.offset + int(chosen[first]) * size)
                    stream.seek(offset + int(rows[chosen[first]]) * size)
                    stream.write(source.read((last - first) * size))
    return int(wanted.sum())


def _runs(source: npt.NDArray[np.int64], target: npt.NDArray[np.int64], longest: int) -> Iterator[tuple[int, int]]:
    """Stretches of both that count up by one together, at most ``longest`` long."""
    borders = np.flatnonzero((np.diff(source) != 1) | (np.diff(target) != 1)) + 1
    for first, last in zip([0, *borders], [*borders, len(source)], strict=True):
        for begin in range(int(first), int(last), longest):
            yield begin, min(begin + longest, int(last))


def _write_header(stream: BinaryIO, count: int, shape: tuple[int, int]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, header)
