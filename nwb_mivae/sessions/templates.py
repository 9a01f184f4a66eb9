"""Stimulus pixels by name: movies and picture sets inside the NWB file, files beside it, and what is missing.

Nothing here reads a pixel before a frame is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.clock import regular_rate
from nwb_mivae.sessions.conventions import RESULT_TYPES, plain, stimulus_stem
from nwb_mivae.sessions.movies import ExternalMovie, StimulusFolder, file_name_in, luminance
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values
from nwb_mivae.sessions.session import Template

__all__ = ["StoredFrames", "StoredImages", "TemplateCatalogue", "has_pixels", "stated_files"]

_FULL_SCALE = 255.0
#: Frames are read as one slice where at least one in so many of it is wanted: compressed chunks hold many frames.
_SPAN_READ_AT_ONCE = 4


def stated_files(series: Any) -> list[str]:
    """The external files an ImageSeries names; data beside them is a dummy that writers put there."""
    if series.external_file is None:
        return []
    return [as_text(name) for name in series.external_file[:] if as_text(name)]


def has_pixels(series: Any) -> bool:
    """Whether an ImageSeries holds frames itself."""
    if stated_files(series) or series.data is None or as_text(series.format).lower() == "external":
        return False
    shape = np.shape(series.data)
    return len(shape) in (3, 4) and 0 not in shape


class StoredFrames(Template):
    """Frames of an ImageSeries or OpticalSeries inside the file: ``(frames, height, width[, colour])``.

    Bytes are taken as they are. Other numbers are scaled by the range of three sampled frames: [0, 1] to [0, 255],
    [-1, 1] likewise, [0, 255] as it is.
    """

    origin = "file"

    def __init__(self, name: str, file: OpenedFile, series: Any) -> None:
        self.name = name
        self._file = file.path
        self._path = file.path_of(series)
        self._data = series.data
        shape = np.shape(series.data)
        self.n_frames, self.height, self.width = int(shape[0]), int(shape[1]), int(shape[2])
        self._scale: tuple[float, float] | None = None

    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by number, luminance as uint8 ``(len(frames), height, width)``."""
        wanted = np.asarray(frames, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.n_frames):
            raise self._refusal(f"frame {int(wanted.max())} asked for", f"0 to {self.n_frames - 1}")
        if not wanted.size:
            return np.zeros((0, self.height, self.width), dtype=np.uint8)
        numbers, inverse = np.unique(wanted, return_inverse=True)
        return self._as_bytes(self._stored(numbers))[inverse]

    def _stored(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        try:
            first, last = int(numbers[0]), int(numbers[-1])
            if last - first < _SPAN_READ_AT_ONCE * len(numbers):
                return np.asarray(self._data[first : last + 1])[numbers - first]
            return np.stack([np.asarray(self._data[int(number)]) for number in numbers])
        except (OSError, RuntimeError, ValueError, TypeError) as problem:
            raise self._refusal(
                f"frames that cannot be read ({' '.join(str(problem).split())})", "an open and undamaged file"
            ) from problem

    def _as_bytes(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if pixels.dtype != np.uint8:
            low, high = self._range()
            scaled = (pixels.astype(np.float64) - low) * (_FULL_SCALE / (high - low))
            if not np.isfinite(scaled).all() or scaled.min() < -0.5 or scaled.max() > _FULL_SCALE + 0.5:
                raise self._refusal("pixels beyond the range of the sampled frames, or NaN", f"{low:g} to {high:g}")
            pixels = np.rint(scaled).clip(0, _FULL_SCALE).astype(np.uint8)
        return luminance(pixels) if pixels.ndim == 4 else pixels

    def _range(self) -> tuple[float, float]:
        if self._scale is None:
            sampled = np.unique(np.asarray([0, self.n_frames // 2, self.n_frames - 1], dtype=np.int64))
            pixels = np.stack([self._stored(sampled[i : i + 1])[0] for i in range(len(sampled))]).astype(np.float64)
            low, high = float(pixels.min()), float(pixels.max())
            fitting = [pair for pair in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)) if pair[0] <= low and high <= pair[1]]
            if not fitting:
                raise self._refusal(f"pixels from {low:g} to {high:g}", "0 to 1, -1 to 1 or 0 to 255")
            self._scale = fitting[0]
        return self._scale

    def _refusal(self, found: str, expected: str) -> SessionError:
        return SessionError(found, expected=expected, file=self._file, object_path=self._path)


class StoredImages(StoredFrames):
    """A set of pictures of one size inside the file, one data set each.

    They come back from the file in alphabetical order (0, 1, 10, 11, 2): without an order of their own they are
    counted by the number their names end with.
    """

    def __init__(self, name: str, file: OpenedFile, container: Any) -> None:
        images = _in_order(container)
        self.image_names = [as_text(image.name) for image in images]
        shapes = {tuple(int(size) for size in np.shape(image.data)[:2]) for image in images}
        if len(shapes) != 1:
            raise SessionError(
                f"{len(images)} pictures of {len(shapes)} sizes",
                expected="pictures of one size",
                file=file.path,
                object_path=file.path_of(container),
            )
        self.name = name
        self._file = file.path
        self._path = file.path_of(container)
        self._data = [image.data for image in images]
        self.n_frames = len(images)
        ((self.height, self.width),) = shapes
        self._scale = None

    def _stored(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        try:
            return np.stack([np.asarray(self._data[int(number)][:]) for number in numbers])
        except (OSError, RuntimeError, ValueError, TypeError) as problem:
            raise self._refusal(
                f"pictures that cannot be read ({' '.join(str(problem).split())})", "an open and undamaged file"
            ) from problem


def _in_order(container: Any) -> list[Any]:
    if container.order_of_images is not None:
        return list(container.order_of_images.data[:])
    images = list(container.images.values())
    numbers = [re.search(r"(\d+)\D*$", as_text(image.name)) for image in images]
    if all(number is not None for number in numbers):
        return sorted(images, key=lambda image: int(re.findall(r"\d+", as_text(image.name))[-1]))
    return images


@dataclass
class TemplateCatalogue:
    """Every template of a session by name, and where to look for the others.

    Attributes
    ----------
    found : dict of str to Template
        Templates whose pixels can be read.
    missing : dict of str to str
        Names of the others, with the file that was looked for or the reason.
    rates : dict of str to float
        Frames per second, where a template says.
    """

    file: OpenedFile
    folder: StimulusFolder
    found: dict[str, Template] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    _by_stem: dict[str, str] = field(default_factory=dict)
    _images: dict[str, tuple[str, int]] = field(default_factory=dict)
    _of_object: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, file: OpenedFile, stimulus_folder: str | PathLike[str] | None) -> TemplateCatalogue:
        """Collect what the file holds in its stimulus and template groups, and rendered screens in acquisition."""
        from pynwb.base import Images
        from pynwb.image import ImageSeries, IndexSeries

        catalogue = cls(file, StimulusFolder(stimulus_folder, file.path))
        root = file.nwbfile
        inside = [*root.stimulus_template.values(), *root.stimulus.values()]
        inside += [item for item in root.acquisition.values() if is_session_movie(file, item)]
        inside += [
            target
            for item in root.stimulus.values()
            if isinstance(item, IndexSeries)
            for target in (item.indexed_images, item.indexed_timeseries)
            if target is not None
        ]
        for item in inside:
            if item.object_id in catalogue._of_object or type(item).__name__ in RESULT_TYPES:
                continue
            if isinstance(item, Images) or (isinstance(item, ImageSeries) and has_pixels(item)):
                catalogue._add(item, is_set=isinstance(item, Images))
            elif isinstance(item, ImageSeries):
                for stated in stated_files(item):
                    catalogue.resolve(stated)
        return catalogue

    def _add(self, item: Any, *, is_set: bool) -> None:
        name = as_text(item.name)
        if name in self.found:
            name = self.file.path_of(item)
        self._of_object[item.object_id] = name
        self._by_stem.setdefault(stimulus_stem(as_text(item.name)), name)
        try:
            template = StoredImages(name, self.file, item) if is_set else StoredFrames(name, self.file, item)
        except SessionError as problem:
            self.missing[name] = problem.found
            return
        self.found[name] = template
        labels: Sequence[str] = ()
        if isinstance(template, StoredImages):
            labels = template.image_names
        else:
            rate = regular_rate(item)
            if rate is not None:
                self.rates[name] = rate
            if item.control_description is not None:
                labels = list(text_values(item.control_description[:]))
        for number, label in enumerate(labels):
            self._images.setdefault(label, (name, number))

    def name_of(self, item: Any) -> str:
        """The template that an object of the file is."""
        return self._of_object.get(item.object_id, as_text(item.name))

    def image(self, label: str) -> tuple[str, int] | None:
        """Template and frame of one image of a set inside the file, by its own name."""
        return self._images.get(label)

    def resolve(self, stated: str) -> str:
        """The template a table means by a name: inside the file, else a file beside it, else missing.

        Returns the key under which the template is found or missing.
        """
        if stated in self.found or stated in self.missing:
            return stated
        inside = self._by_stem.get(stimulus_stem(stated))
        if inside is not None:
            return inside
        name = file_name_in(stated)
        if name in self.found or name in self.missing:
            return name
        path = self.folder.find(stated)
        if path is None:
            self.missing[name] = f"no file {name} {self.folder.where()}"
            return name
        try:
            movie = ExternalMovie(name, path)
        except SessionError as problem:
            self.missing[name] = f"{path}: {problem.found}"
            return name
        self.found[name] = movie
        return name


def is_session_movie(file: OpenedFile, item: Any) -> bool:
    """Whether an object in acquisition is the screen of the whole session, as in dandiset 000402."""
    from pynwb.image import ImageSeries

    if not isinstance(item, ImageSeries) or not has_pixels(item):
        return False
    return any(word in plain(as_text(item.name)) for word in file.conventions.session_movie_words)
