"""Stimulus pixels by name: movies and picture sets inside the NWB file, files beside it, and what is missing.

Nothing here reads a pixel before a frame is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.clock import regular_rate
from nwb_mivae.sessions.conventions import RESULT_TYPES, plain, specific_stem, stimulus_stem, without_suffix
from nwb_mivae.sessions.movies import ExternalMovie, StimulusFolder, file_name_in, luminance
from nwb_mivae.sessions.nwb import OpenedFile, as_text, text_values
from nwb_mivae.sessions.session import Template

__all__ = [
    "Excerpt",
    "StoredFrames",
    "StoredImages",
    "TemplateCatalogue",
    "has_pixels",
    "is_session_movie",
    "stated_files",
]

_FULL_SCALE = 255.0
_WHOLE_NUMBER_RANGES: tuple[tuple[float, float], ...] = ((0.0, 1.0), (0.0, 255.0), (0.0, 4095.0), (0.0, 65535.0))
_SIGNED_RANGES: tuple[tuple[float, float], ...] = ((-1.0, 1.0),)
_FLOAT_RANGES: tuple[tuple[float, float], ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_REMEDY = "in a copy of the file, store the pixels as uint8 from 0 to 255"
#: Names of picture sets that share fewer letters than this at their beginning are not related.
_RELATED_LETTERS = 4
#: Frames are read as one slice where at least one in so many of it is wanted: compressed chunks hold many frames.
_SPAN_READ_AT_ONCE = 4


def stated_files(series: Any) -> list[str]:
    """The external files an ImageSeries names; data beside them is a dummy that writers put there."""
    if getattr(series, "external_file", None) is None:
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

    Bytes are taken as they are, unless they are 0 and 1 only. Other numbers are scaled by the bit depth the series
    states (`bits_per_pixel`), else by the range of three sampled frames: [0, 1], [-1, 1], [0, 255], and for whole
    numbers [0, 4095] and [0, 65535], to [0, 255]. Ranges that were guessed are noted when the first frames are read.
    """

    origin = "file"

    def __init__(self, name: str, file: OpenedFile, series: Any) -> None:
        self.name = name
        self._file = file.location
        self._path = file.path_of(series)
        self._note = file.note
        self._data = series.data
        self._bits = _bit_depth(file, series)
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
        scale = self._range(pixels)
        if pixels.dtype != np.uint8 or scale != (0.0, _FULL_SCALE):
            low, high = scale
            scaled = (pixels.astype(np.float64) - low) * (_FULL_SCALE / (high - low))
            if not np.isfinite(scaled).all() or scaled.min() < -0.5 or scaled.max() > _FULL_SCALE + 0.5:
                raise self._refusal(
                    "pixels beyond the range that the bit depth or the sampled frames say, or NaN",
                    f"{low:g} to {high:g}",
                    _REMEDY,
                )
            pixels = np.rint(scaled).clip(0, _FULL_SCALE).astype(np.uint8)
        return luminance(pixels) if pixels.ndim == 4 else pixels

    def _range(self, pixels: npt.NDArray[Any]) -> tuple[float, float]:
        """What is black and what is white, decided once."""
        if self._scale is None:
            if pixels.dtype == np.uint8:
                self._scale = self._range_of_bytes(pixels)
            elif self._bits and pixels.dtype.kind in "iu":
                self._scale = (0.0, float(2**self._bits - 1))
            else:
                self._scale = self._range_of_numbers()
        return (0.0, _FULL_SCALE) if self._scale is None else self._scale

    def _range_of_bytes(self, pixels: npt.NDArray[np.uint8]) -> tuple[float, float] | None:
        """The whole range, unless nothing but 0 and 1 is seen; not decided while all is 0."""
        if int(pixels.max()) > 1:
            return 0.0, _FULL_SCALE
        brightest = max(int(pixels.max()), int(self._sampled().max()))
        if brightest == 1:
            self._note("guess", self._path, "bytes of 0 and 1 only were stretched to 0 and 255")
            return 0.0, 1.0
        return (0.0, _FULL_SCALE) if brightest else None

    def _range_of_numbers(self) -> tuple[float, float]:
        pixels = self._sampled()
        whole = pixels.dtype.kind in "iu"
        low, high = float(pixels.min()), float(pixels.max())
        ranges = _FLOAT_RANGES if not whole else _SIGNED_RANGES if low < 0 else _WHOLE_NUMBER_RANGES
        fitting = [pair for pair in ranges if pair[0] <= low and high <= pair[1]]
        if not fitting:
            expected = " or ".join(f"{black:g} to {white:g}" for black, white in ranges)
            raise self._refusal(f"pixels from {low:g} to {high:g}", expected, _REMEDY)
        if whole:
            black, white = fitting[0]
            message = f"{pixels.dtype} pixels, {low:g} to {high:g} where looked at: taken as {black:g} to {white:g}"
            self._note("guess", self._path, f"{message}, for the series states no bit depth")
        return fitting[0]

    def _sampled(self) -> npt.NDArray[Any]:
        """The first frame, the one in the middle and the last."""
        numbers = np.unique(np.asarray([0, self.n_frames // 2, self.n_frames - 1], dtype=np.int64))
        return np.stack([self._stored(numbers[i : i + 1])[0] for i in range(len(numbers))])

    def _refusal(self, found: str, expected: str, remedy: str | None = None) -> SessionError:
        return SessionError(found, expected=expected, remedy=remedy, file=self._file, object_path=self._path)


def _bit_depth(file: OpenedFile, series: Any) -> int | None:
    """``bits_per_pixel``, which NWB has given up: where pynwb drops it, it is in the file still."""
    stated = getattr(series, "bits_per_pixel", None)
    if stated is None:
        stored = file.io.manager.get_builder(series).datasets.get("bits_per_pixel")
        stated = np.ravel(stored.data)[0] if stored is not None and np.size(stored.data) == 1 else None
    return None if stated is None else int(stated)


class StoredImages(StoredFrames):
    """A set of pictures of one size inside the file, one data set each.

    They come back from the file in alphabetical order (0, 1, 10, 11, 2): without an order of their own they are
    counted by the numbers in their names, whatever stands before and after those.
    """

    def __init__(self, name: str, file: OpenedFile, container: Any) -> None:
        images = _in_order(file, container)
        self.image_names = [as_text(image.name) for image in images]
        shapes = {tuple(int(size) for size in np.shape(image.data)[:2]) for image in images}
        if len(shapes) != 1:
            raise SessionError(
                f"{len(images)} pictures of {len(shapes)} sizes",
                expected="pictures of one size",
                file=file.location,
                object_path=file.path_of(container),
            )
        self.name = name
        self._file = file.location
        self._path = file.path_of(container)
        self._note = file.note
        self._bits = None
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


def _in_order(file: OpenedFile, container: Any) -> list[Any]:
    if container.order_of_images is not None:
        return list(container.order_of_images.data[:])
    images = list(container.images.values())
    names = [as_text(image.name) for image in images]
    numbers = [tuple(int(digits) for digits in re.findall(r"[0-9]+", name)) for name in names]
    alike = len({re.sub(r"[0-9]+", "0", name) for name in names}) == 1
    if not alike:
        numbers = [found[-1:] for found in numbers]
    if len(set(numbers)) == len(images) and all(numbers):
        if not alike:
            message = f"{len(images)} pictures whose names differ in more than numbers: counted by their last number"
            file.note("guess", file.path_of(container), message)
        return [images[place] for place in sorted(range(len(images)), key=lambda place: numbers[place])]
    if len(images) > 1:
        message = f"{len(images)} pictures without numbers in their names: counted in alphabetical order"
        file.note("guess", file.path_of(container), message)
    return images


class Excerpt(Template):
    """Frames ``first`` to ``first + n_frames`` of another template, counted from 0."""

    def __init__(self, name: str, whole: Template, first: int, n_frames: int) -> None:
        self.name = name
        self.n_frames, self.height, self.width = n_frames, whole.height, whole.width
        self.origin = whole.origin
        self._whole = whole
        self._first = first

    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by number, luminance as uint8 ``(len(frames), height, width)``."""
        wanted = np.asarray(frames, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.n_frames):
            raise SessionError(
                f"frame {int(wanted.max())} of {self.name!r} asked for", expected=f"0 to {self.n_frames - 1}"
            )
        return self._whole.read(wanted + self._first)


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
    _resolved: dict[str, str] = field(default_factory=dict)
    _images: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    _of_image: dict[tuple[str, str], tuple[str, int] | None] = field(default_factory=dict)
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
            self._images.setdefault(label, []).append((name, number))

    def name_of(self, item: Any) -> str:
        """The template that an object of the file is."""
        return self._of_object.get(item.object_id, as_text(item.name))

    def image(self, label: str, near: str, path: str) -> tuple[str, int] | None:
        """Template and frame of one image of a set inside the file, by its own name.

        Parameters
        ----------
        label : str
            The picture's name.
        near : str
            What the table calls the set; of several sets with such a picture it is the one most like this.
        path : str
            Of the table, for what is noted.
        """
        asked = (near, label)
        if asked not in self._of_image:
            self._of_image[asked] = self._image(label, near, path)
        return self._of_image[asked]

    def _image(self, label: str, near: str, path: str) -> tuple[str, int] | None:
        stem = stimulus_stem(near)

        def likeness(found: tuple[str, int]) -> tuple[bool, int, int]:
            other = stimulus_stem(found[0])
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(other, stem, strict=False)))
            return other == stem, shared, -len(other)

        found = [item for item in self._images.get(label, ()) if item[0] in self.found]
        if not found:
            return None
        best = max(found, key=likeness)
        is_same, shared, _ = likeness(best)
        if is_same:
            return best
        if len(found) > 1 and shared < _RELATED_LETTERS:
            self._say("warning", path, f"pictures of {near!r} are in {len(found)} sets of other names; none was used")
            return None
        self._say("guess", path, f"pictures of {near!r} are taken from {best[0]!r}, which has pictures of their names")
        return best

    def resolve(self, stated: str, path: str = "") -> str:
        """The template a table means by a name: inside the file, else a file beside it, else missing.

        Returns the key under which the template is found or missing. A name that fits but for more than suffixes is
        noted as a guess, at ``path``.
        """
        if stated in self.found or stated in self.missing:
            return stated
        if stated not in self._resolved:
            self._resolved[stated] = self._resolve(stated, path)
        return self._resolved[stated]

    def _resolve(self, stated: str, path: str) -> str:
        inside = self._by_stem.get(stimulus_stem(stated))
        if inside is not None:
            # `movie1` and `Movie_1` are one stem: the one that is written like it, where there is one.
            written = (
                name for name in self._of_object.values() if without_suffix(_own_name(name)) == without_suffix(stated)
            )
            inside = next(written, inside)
            if without_suffix(_own_name(inside)) != without_suffix(stated):
                self._say("guess", path, f"{stated!r} is taken for the template {inside!r}, which is written otherwise")
            return inside
        name = file_name_in(stated)
        if name in self.found or name in self.missing:
            return name
        files = self.folder.find(stated)
        if not files:
            alike = self._alike(stated, path)
            if alike is not None:
                return alike
            self.missing[name] = f"no file {name} {self.folder.where()}"
            return name
        found = files[0]
        if len(files) > 1:
            # Guesses go into the store, which must not depend on where the folder lies.
            taken, *others = (file.relative_to(self.folder.folder or file.parent).as_posix() for file in files)
            message = f"{len(files)} files may be {stated!r}: {taken} was taken, not {', '.join(others)}"
            self._say("guess", path, message)
        if name not in (found.name, found.stem):
            self._say("guess", path, f"{stated!r} is taken for the file {found.name}, which is written otherwise")
        try:
            movie = ExternalMovie(name, found)
        except SessionError as problem:
            self.missing[name] = f"{found}: {problem.found}"
            return name
        self.found[name] = movie
        return name

    def _alike(self, stated: str, path: str) -> str | None:
        """The one template inside the file whose name has the same words but for those that many names have."""
        words = self.file.conventions.generic_words
        stem = specific_stem(stated, words)
        alike = [name for name in self._of_object.values() if stem and specific_stem(_own_name(name), words) == stem]
        if len(alike) > 1:
            self._say("warning", path, f"{stated!r} may be any of the templates {', '.join(alike)}; none was used")
            return None
        if alike:
            self._say("guess", path, f"{stated!r} is taken for the template {alike[0]!r}, whose name is like it")
        return alike[0] if alike else None

    def _say(self, level: Literal["guess", "warning"], path: str, message: str) -> None:
        if (path, message) not in {(finding.object_path, finding.message) for finding in self.file.findings}:
            self.file.note(level, path, message)


def _own_name(key: str) -> str:
    """What the file calls a template, whose key is its path where several have that name."""
    return key.rpartition("/")[2]


def is_session_movie(file: OpenedFile, item: Any) -> bool:
    """Whether an object in acquisition is the screen of the whole session, as in dandiset 000402."""
    from pynwb.image import ImageSeries

    if not isinstance(item, ImageSeries) or not has_pixels(item):
        return False
    return any(word in plain(as_text(item.name)) for word in file.conventions.session_movie_words)
