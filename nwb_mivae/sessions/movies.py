"""Movies and pictures stored beside an NWB file: found by name under a folder, read frame by frame through PyAV."""

from __future__ import annotations

import bisect
import os
from collections import defaultdict
from os import PathLike, fspath
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.conventions import PIXEL_FILE_SUFFIXES, stimulus_stem
from nwb_mivae.sessions.session import Template

__all__ = ["ExternalMovie", "StimulusFolder", "file_name_in", "luminance"]

#: Weights of red, green and blue in luminance (ITU-R BT.601), the ones of ``PIL.Image.convert("L")``.
LUMINANCE_WEIGHTS = (0.299, 0.587, 0.114)


def luminance(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colour ``(..., 3 or 4)`` to luminance ``(...)``, uint8: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded.

    One or two channels are grey, without and with an alpha channel, and are taken as they are.
    """
    if pixels.shape[-1] < len(LUMINANCE_WEIGHTS):
        return pixels[..., 0]
    weights = np.asarray(LUMINANCE_WEIGHTS, dtype=np.float32)
    return np.asarray(np.rint(pixels[..., :3].astype(np.float32) @ weights), dtype=np.uint8)


def file_name_in(stated: str) -> str:
    """The file's own name in a path written on any system."""
    return PureWindowsPath(stated).name if "\\" in stated else PurePosixPath(stated).name


class StimulusFolder:
    """A folder the user keeps stimuli in, searched by file name at any depth.

    Parameters
    ----------
    folder : path-like or None
        ``None`` finds only what lies where the NWB file says, relative to itself.
    beside : Path or None
        The NWB file; names it gives are relative to its folder, as NWB has it. ``None`` for a file on a server.

    Raises
    ------
    SessionError
        If the folder does not exist.
    """

    def __init__(self, folder: str | PathLike[str] | None, beside: Path | None) -> None:
        self.folder = None if folder is None else Path(fspath(folder))
        self._beside = None if beside is None else beside.parent
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        if self.folder is None:
            return
        if not self.folder.is_dir():
            raise SessionError(
                "no such folder",
                expected="the folder that holds the stimulus movies",
                remedy="correct the stimulus folder",
                file=self.folder,
            )
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in PIXEL_FILE_SUFFIXES and path.is_file():
                self._by_name[path.name.lower()].append(path)
                self._by_stem[stimulus_stem(path.name)].append(path)

    def find(self, stated: str) -> list[Path]:
        """Files of that name, or of that name but for suffixes, that fit equally well: the least deep one first."""
        name = file_name_in(stated)
        if not name or "\0" in name:
            return []
        has_suffix = name.lower().endswith(PIXEL_FILE_SUFFIXES)
        if self.folder is not None:
            found = self._by_name.get(name.lower()) or ([] if has_suffix else self._by_stem.get(stimulus_stem(name)))
            if found:
                exactly = [path for path in found if path.name == name] or found
                return sorted(exactly, key=lambda path: (len(path.parts), str(path)))
        if has_suffix and self._beside is not None:
            for path in (self._beside / stated, self._beside / name):
                # Unlike pathlib's, this answers no to names that no file can have, such as one of 300 letters.
                if os.path.isfile(path):
                    return [path]
        return []

    def where(self) -> str:
        """Where a missing file was looked for, for a message."""
        if self.folder is not None:
            return f"under {self.folder}"
        return "in a stimulus folder: none was given" if self._beside is None else "beside the NWB file"


class ExternalMovie(Template):
    """A movie or picture file. Opening reads its packets' times, not its pixels.

    Attributes
    ----------
    frame_times : ndarray of float64, (n_frames,)
        When each frame is shown, seconds from the first one.
    duration : float
        Seconds until the last frame ends.

    Raises
    ------
    SessionError
        If the file is no movie or picture.
    """

    origin = "external"

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        with _opened(path) as container:
            stream = container.streams.video[0]
            self.width, self.height = int(stream.width), int(stream.height)
            stamps = [packet.pts for packet in container.demux(stream) if packet.size]
            rate = stream.average_rate or stream.guessed_rate
            base = stream.time_base
        self._stamps = sorted(stamp for stamp in stamps if stamp is not None)
        self.n_frames = len(stamps)
        if self.n_frames == 0:
            raise SessionError("a movie without frames", expected="at least one frame", file=path)
        interval = float(1 / rate) if rate else 1.0 / 30.0
        if len(self._stamps) == self.n_frames and len(set(self._stamps)) == self.n_frames and base:
            self.frame_times = (np.asarray(self._stamps, dtype=np.float64) - self._stamps[0]) * float(base)
        else:
            self._stamps = []
            self.frame_times = np.arange(self.n_frames, dtype=np.float64) * interval
        steps = np.diff(self.frame_times)
        self.duration = float(self.frame_times[-1] + (np.median(steps) if len(steps) else interval))

    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by number, luminance by ITU-R BT.601 weights, uint8 ``(len(frames), height, width)``."""
        wanted = np.asarray(frames, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.n_frames):
            raise SessionError(
                f"frame {int(wanted.max())} asked for", expected=f"0 to {self.n_frames - 1}", file=self.path
            )
        result = np.empty((len(wanted), self.height, self.width), dtype=np.uint8)
        if not wanted.size:
            return result
        places: dict[int, list[int]] = defaultdict(list)
        for place, number in enumerate(wanted):
            places[int(number)].append(place)
        for number, pixels in self._decoded(int(wanted.min()), int(wanted.max())):
            for place in places.pop(number, ()):
                result[place] = pixels
        if places:
            raise SessionError(
                f"a movie whose frame {min(places)} cannot be decoded",
                expected=f"{self.n_frames} frames",
                remedy="replace the file by an undamaged copy",
                file=self.path,
            )
        return result

    def _decoded(self, first: int, last: int) -> Any:
        import av

        with _opened(self.path) as container:
            stream = container.streams.video[0]
            if self._stamps and first > 0:
                container.seek(self._stamps[first], stream=stream, backward=True, any_frame=False)
            try:
                for count, frame in enumerate(container.decode(stream)):
                    number = count
                    if self._stamps:
                        number = bisect.bisect_left(self._stamps, frame.pts)
                    if number > last:
                        return
                    if number >= first:
                        yield number, luminance(frame.to_ndarray(format="rgb24"))
            except av.FFmpegError as problem:
                raise _no_movie(self.path, problem) from problem


def _opened(path: Path) -> Any:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as problem:
        raise _no_movie(path, problem) from problem
    if not container.streams.video:
        container.close()
        raise _no_movie(path, ValueError("no video stream"))
    return container


def _no_movie(path: Path, problem: BaseException) -> SessionError:
    return SessionError(
        f"a file that cannot be read as a movie ({' '.join(str(problem).split())})",
        expected="a movie or picture",
        remedy="replace it by an undamaged copy",
        file=path,
    )
