"""Pictures of stimuli that files describe and do not hold: gratings, Gabor patches, sparse noise, flashes.

Drawn as PsychoPy draws them, the program behind almost every such file (``visual.GratingStim``, textures ``"sin"`` and
``None``, masks ``"circle"`` and ``"gauss"``), in the coordinates of :mod:`~nwb_mivae.sessions.screen`:

* luminance of a grating is ``cos(2 pi (f u - phase))``, ``u`` the distance from the stimulus' centre along
  ``(cos a, -sin a)`` for orientation ``a``: vertical bars at 0, turning clockwise, brightest in the middle at phase 0;
* a moving one gains phase: it drifts along ``u``, to the right at 0, downwards at 90, to the left at 180;
* a Gaussian mask is cut at the edge of its ``size``, which is three standard deviations from the centre, so that the
  standard deviation is a sixth of ``size``; a circle has ``size`` as its diameter;
* patches that overlap cover each other by the opacity of their masks, later ones on top.

Every pixel is the mean over its area, so that gratings finer than the grid fade to grey instead of aliasing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import SessionError
from nwb_mivae.sessions.conventions import Conventions, DrawnKind, Layout, plain, stimulus_stem
from nwb_mivae.sessions.parameters import Parameters, ParameterValue
from nwb_mivae.sessions.screen import Screen
from nwb_mivae.sessions.session import Template

__all__ = ["RenderedFrames", "completed_parameters", "drawable", "lacking_parameters", "moves", "rendered_template"]

#: A Gaussian mask ends so many standard deviations from its centre (PsychoPy's default for ``mask="gauss"``).
GAUSSIAN_EDGE = 3.0
#: A pixel on the rim of a disc is the mean of so many by so many points.
_POINTS_ACROSS = 16
#: What one stimulus may have a list of: width and height, and the frequency that it moves with along both axes.
_LISTS_OF_ONE = ("size", "temporal_frequency")
_NEEDED: dict[DrawnKind, tuple[str, ...]] = {
    "grating": ("orientation", "spatial_frequency"),
    "gabor": ("orientation", "spatial_frequency", "x_position", "y_position", "size"),
    "gabors": ("orientation", "spatial_frequency", "x_position", "y_position", "size"),
    "spot": ("colour", "x_position", "y_position", "size"),
    "flash": ("colour",),
}


def drawable(
    stimulus_name: str, parameters: Mapping[str, ParameterValue], conventions: Conventions, layout: Layout | None = None
) -> DrawnKind | None:
    """What can be drawn of a stimulus, by the words in its name, else by its parameters; None if too little is known.

    Parameters
    ----------
    stimulus_name : str
        What the file calls it, such as ``drifting_gratings_presentations``.
    parameters : mapping
        As :func:`~nwb_mivae.sessions.parameters.standard_parameters` gives them.
    """
    return _understood(stimulus_name, parameters, conventions, layout)[0]


def completed_parameters(
    stimulus_name: str, parameters: Mapping[str, ParameterValue], conventions: Conventions, layout: Layout | None = None
) -> Parameters:
    """The parameters, with what the conventions assume where the file does not say: a guess to report."""
    return _understood(stimulus_name, parameters, conventions, layout)[1]


def lacking_parameters(
    stimulus_name: str, parameters: Mapping[str, ParameterValue], conventions: Conventions, layout: Layout | None = None
) -> tuple[str, ...]:
    """Names of the fewest parameters with which a stimulus that cannot be drawn could be."""
    candidates = _candidates(stimulus_name, conventions, layout)
    lacking = [
        tuple(needed for needed in _NEEDED[kind] if needed not in parameters and needed not in unsaid)
        for kind, unsaid in candidates
    ]
    return min(lacking, key=len)


def moves(parameters: Mapping[str, ParameterValue]) -> bool:
    """Whether a stimulus changes while it is shown, and so needs a template of its own with a frame per moment."""
    frequency = parameters.get("temporal_frequency", 0.0)
    return any(value != 0.0 for value in _numbers(frequency))


def rendered_template(
    name: str,
    conditions: Sequence[Mapping[str, ParameterValue]],
    *,
    screen: Screen,
    kind: DrawnKind,
    duration: float | None = None,
    rate: float = 30.0,
) -> Template:
    """A template whose frames are drawn when they are read.

    Parameters
    ----------
    name : str
        Key of the template.
    conditions : sequence of mapping
        Complete parameters. Standing ones (see :func:`moves`) give a frame each; a moving one stands alone and gives
        ``ceil(duration * rate)`` frames, the k-th as it was ``k / rate`` seconds after its onset.
    screen : Screen
        The grid and geometry to draw on.
    kind : DrawnKind
        As :func:`drawable` says.
    duration : float, optional
        Seconds a moving condition was shown.
    rate : float
        Frames per second of a moving condition. From half of it on a temporal frequency cannot be told from another.

    Raises
    ------
    SessionError
        If a parameter the kind needs is missing, or moving and standing conditions are mixed.
    """
    return RenderedFrames(name, conditions, screen=screen, kind=kind, duration=duration, rate=rate)


class RenderedFrames(Template):
    """Frames of a drawn stimulus; equal conditions have equal pixels on every machine of the same arithmetic."""

    origin = "rendered"

    def __init__(
        self,
        name: str,
        conditions: Sequence[Mapping[str, ParameterValue]],
        *,
        screen: Screen,
        kind: DrawnKind,
        duration: float | None = None,
        rate: float = 30.0,
    ) -> None:
        moving = any(moves(condition) for condition in conditions)
        for condition in conditions:
            missing = [needed for needed in _NEEDED[kind] if needed not in condition]
            if missing:
                raise SessionError(f"{kind} {name!r} without {', '.join(missing)}", expected=", ".join(_NEEDED[kind]))
        if moving and (len(conditions) != 1 or duration is None or not duration > 0):
            raise SessionError(
                f"{len(conditions)} conditions of {name!r}, moving ones among them, shown for {duration} seconds",
                expected="one moving condition and how long it was shown, or standing ones",
            )
        self.name = name
        self.kind = kind
        self.screen = screen
        self.conditions = [dict(condition) for condition in conditions]
        self.height, self.width = screen.height_pixels, screen.width_pixels
        self.rate = rate
        self._moving = moving
        self._grid = _Grid.of(screen)
        # A duration of 1.0000000001 s is one of 1 s that was measured.
        self.n_frames = math.ceil(round((duration or 0.0) * rate, 3)) if moving else len(self.conditions)

    def read(self, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames by number, luminance as uint8 ``(len(frames), height, width)``."""
        wanted = np.asarray(frames, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.n_frames):
            raise SessionError(
                f"frame {int(wanted.max())} of {self.name!r} asked for", expected=f"0 to {self.n_frames - 1}"
            )
        numbers, inverse = np.unique(wanted, return_inverse=True)
        if self._moving:
            return self._moments(numbers)[inverse]
        drawn = np.empty((len(numbers), self.height, self.width), dtype=np.uint8)
        for place, number in enumerate(numbers):
            amplitude = _amplitude(self.kind, self.conditions[int(number)], self._grid)
            drawn[place] = _luminance(amplitude.real, self.screen.mean_luminance)
        return drawn[inverse]

    def _moments(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Frames of a moving condition: one picture, turned by as many cycles as it has gone through."""
        (condition,) = self.conditions
        amplitude = _amplitude(self.kind, condition, self._grid)
        cycles = _numbers(condition["temporal_frequency"])[0] * numbers / self.rate
        turn = np.exp(-2j * np.pi * (cycles % 1.0))[:, None, None]
        return _luminance(turn.real * amplitude.real - turn.imag * amplitude.imag, self.screen.mean_luminance)


def _understood(
    stimulus_name: str, parameters: Mapping[str, ParameterValue], conventions: Conventions, layout: Layout | None
) -> tuple[DrawnKind | None, Parameters]:
    for kind, unsaid in _candidates(stimulus_name, conventions, layout):
        completed = {**unsaid, **parameters}
        if _suffices(kind, completed):
            return kind, completed
    return None, dict(parameters)


def _candidates(
    stimulus_name: str, conventions: Conventions, layout: Layout | None
) -> list[tuple[DrawnKind, dict[str, float | str]]]:
    """What a stimulus of this name may be, best first, and what is assumed of each where the file does not say."""
    assumed = {} if layout is None else layout.assumed_parameters
    words = stimulus_stem(stimulus_name)
    named = [entry for entry in conventions.drawn_stimuli if plain(entry.word) in words]
    if named:
        return [(entry.kind, {**assumed, **entry.assumed}) for entry in named]
    return [("gabors", {**assumed}), ("gabor", {**assumed}), ("grating", {**assumed})]


def _suffices(kind: DrawnKind, parameters: Mapping[str, ParameterValue]) -> bool:
    if any(needed not in parameters for needed in _NEEDED[kind]):
        return False
    if kind in ("spot", "flash"):
        return True
    if parameters.get("mask", "circle") not in ("circle", "gauss"):
        return False
    # A set has its positions as lists; a single stimulus has no list but the two axes of its size.
    if kind == "gabors":
        return isinstance(parameters["x_position"], list)
    return not any(isinstance(value, list) for name, value in parameters.items() if name not in _LISTS_OF_ONE)


@dataclass(frozen=True)
class _Grid:
    """A screen's pixels, worked out once: degrees of their middles, width and height of one, half the diagonal."""

    columns: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    pixel: tuple[float, float]
    half_diagonal: float
    mean_luminance: float

    @classmethod
    def of(cls, screen: Screen) -> _Grid:
        return cls(
            screen.columns(), screen.rows(), screen.pixel_degrees, math.hypot(*screen.extent) / 2, screen.mean_luminance
        )


def _amplitude(kind: DrawnKind, condition: Mapping[str, ParameterValue], grid: _Grid) -> npt.NDArray[np.complex128]:
    """Deviation from grey, (height, width): the real part now, turned by ``exp(-2 pi i cycles)`` that much later.

    One is the contrast of a grating that reaches black.
    """
    picture = np.zeros((len(grid.rows), len(grid.columns)), dtype=np.complex128)
    contrast = condition.get("contrast", 1.0)
    if kind == "flash":
        picture += _uniform(_at(condition, "colour", 0, 1) * _numbers(contrast)[0], grid.mean_luminance)
        return picture
    n_patches = len(_numbers(condition.get("x_position", 0.0)))
    for patch in range(n_patches):
        if "size" in condition and min(_size(condition, patch, n_patches)) <= 0.0:
            continue
        strength = _at(condition, "contrast", patch, n_patches, 1.0)
        colour = _at(condition, "colour", patch, n_patches, 1.0)
        if kind == "spot":
            wave, cover, box = _square(condition, patch, n_patches, grid)
            strength = _uniform(colour * strength, grid.mean_luminance)
        else:
            wave, cover, box = _patch(condition, patch, n_patches, grid)
            strength *= colour
        picture[box] = picture[box] * (1.0 - cover) + strength * wave
    return picture


Box = tuple[slice, slice]
#: What a patch adds to each pixel of its box, how much of what lies under it it hides, and the box.
Drawn = tuple[npt.NDArray[np.complex128], npt.NDArray[np.float64], Box]


def _square(condition: Mapping[str, ParameterValue], patch: int, n_patches: int, grid: _Grid) -> Drawn:
    """A uniform square or rectangle: each pixel's share of it."""
    width, height = _size(condition, patch, n_patches)
    x, y = _at(condition, "x_position", patch, n_patches), _at(condition, "y_position", patch, n_patches)
    box = _box(x, y, width / 2, height / 2, grid)
    pixel_width, pixel_height = grid.pixel
    across = _share(grid.columns[box[1]] - x, pixel_width, width)
    down = _share(grid.rows[box[0]] - y, pixel_height, height)
    cover = np.outer(down, across)
    return cover.astype(np.complex128), cover, box


def _patch(condition: Mapping[str, ParameterValue], patch: int, n_patches: int, grid: _Grid) -> Drawn:
    """A grating, in the aperture that ``mask`` and ``size`` say."""
    angle = math.radians(_at(condition, "orientation", patch, n_patches))
    frequency = _at(condition, "spatial_frequency", patch, n_patches)
    right, up = frequency * math.cos(angle), -frequency * math.sin(angle)
    x, y = _at(condition, "x_position", patch, n_patches, 0.0), _at(condition, "y_position", patch, n_patches, 0.0)
    begin = np.exp(-2j * np.pi * _at(condition, "phase", patch, n_patches, 0.0))
    mask = condition.get("mask")
    pixel_width, pixel_height = grid.pixel
    reach = grid.half_diagonal + math.hypot(x, y)
    size = _size(condition, patch, n_patches) if "size" in condition else None
    if size is None or (mask is None and min(size) / 2 >= reach):
        whole = slice(0, len(grid.rows)), slice(0, len(grid.columns))
        wave = np.outer(_mean_wave(grid.rows - y, pixel_height, up), _mean_wave(grid.columns - x, pixel_width, right))
        return begin * wave, np.ones(wave.shape), whole
    if mask == "gauss" and size[0] == size[1]:
        box = _box(x, y, size[0] / 2, size[1] / 2, grid)
        across = _mean_gaussian_wave(grid.columns[box[1]] - x, pixel_width, right, size[0])
        down = _mean_gaussian_wave(grid.rows[box[0]] - y, pixel_height, up, size[1])
        return begin * np.outer(down[0], across[0]), np.outer(down[1], across[1]), box
    half = max(size) / 2 if mask is not None else math.hypot(*size) / 2
    box = _box(x, y, half, half, grid)
    wave, cover = _sampled(grid.columns[box[1]] - x, grid.rows[box[0]] - y, grid.pixel, (right, up), angle, size, mask)
    return begin * wave, cover, box


def _mean_wave(middles: npt.NDArray[np.float64], pixel: float, frequency: float) -> npt.NDArray[np.complex128]:
    """Mean of ``exp(2 pi i f s)`` over each pixel: exact, the wave at the middle times ``sinc(f pixel)``."""
    wave: npt.NDArray[np.complex128] = np.exp(2j * np.pi * frequency * middles) * np.sinc(frequency * pixel)
    return wave


def _mean_gaussian_wave(
    middles: npt.NDArray[np.float64], pixel: float, frequency: float, size: float
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.float64]]:
    """Means over each pixel of a wave under a Gaussian along one axis, and of the Gaussian, by Gauss-Legendre."""
    deviation = size / (2 * GAUSSIAN_EDGE)
    n_points = min(64, math.ceil(6 + 4 * abs(frequency) * pixel + 4 * pixel / deviation))
    nodes, weights = _gauss_legendre(n_points)
    points = middles[:, None] + nodes * pixel / 2
    mask = np.exp(-0.5 * (points / deviation) ** 2) * (np.abs(points) <= size / 2)
    cover = mask @ weights / 2
    wave = (mask * np.exp(2j * np.pi * frequency * points)) @ weights / 2
    return wave, cover


@lru_cache(maxsize=64)
def _gauss_legendre(n_points: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(n_points)
    return nodes, weights


def _sampled(
    across: npt.NDArray[np.float64],
    up: npt.NDArray[np.float64],
    pixel: tuple[float, float],
    frequency: tuple[float, float],
    angle: float,
    size: tuple[float, float],
    mask: ParameterValue | None,
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.float64]]:
    """Means over each pixel of a wave in a disc, an ellipse or a turned rectangle, by many points a pixel."""
    n_points = min(
        32, max(_POINTS_ACROSS, math.ceil(4 * max(abs(frequency[0]) * pixel[0], abs(frequency[1]) * pixel[1])))
    )
    offsets = (np.arange(n_points) + 0.5) / n_points - 0.5
    x = (across[:, None] + offsets * pixel[0]).ravel()
    y = (up[:, None] + offsets * pixel[1]).ravel()
    along = x * math.cos(angle) - y[:, None] * math.sin(angle)
    beside = x * math.sin(angle) + y[:, None] * math.cos(angle)
    if mask is None:
        opacity = ((np.abs(along) <= size[0] / 2) & (np.abs(beside) <= size[1] / 2)).astype(np.float64)
    else:
        radius = np.hypot(along / (size[0] / 2), beside / (size[1] / 2))
        opacity = (radius <= 1.0).astype(np.float64)
        if mask == "gauss":
            opacity *= np.exp(-0.5 * (GAUSSIAN_EDGE * radius) ** 2)
    wave = opacity * np.exp(2j * np.pi * frequency[0] * x) * np.exp(2j * np.pi * frequency[1] * y)[:, None]
    shape = len(up), n_points, len(across), n_points
    return wave.reshape(shape).mean(axis=(1, 3)), opacity.reshape(shape).mean(axis=(1, 3))


def _share(middles: npt.NDArray[np.float64], pixel: float, size: float) -> npt.NDArray[np.float64]:
    """How much of each pixel lies within ``size / 2`` of zero."""
    low = np.maximum(middles - pixel / 2, -size / 2)
    high = np.minimum(middles + pixel / 2, size / 2)
    share: npt.NDArray[np.float64] = np.maximum(high - low, 0.0) / pixel
    return share


def _box(x: float, y: float, half_width: float, half_height: float, grid: _Grid) -> Box:
    """The rows and columns of the pixels that a patch may touch."""
    columns = np.flatnonzero(np.abs(grid.columns - x) < half_width + grid.pixel[0] / 2)
    rows = np.flatnonzero(np.abs(grid.rows - y) < half_height + grid.pixel[1] / 2)
    return _slice(rows), _slice(columns)


def _slice(places: npt.NDArray[np.int64]) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _size(condition: Mapping[str, ParameterValue], patch: int, n_patches: int) -> tuple[float, float]:
    sizes = _numbers(condition["size"])
    if n_patches > 1 and len(sizes) == n_patches:
        return sizes[patch], sizes[patch]
    return sizes[0], sizes[-1]


def _at(condition: Mapping[str, ParameterValue], kind: str, patch: int, n_patches: int, default: float = 0.0) -> float:
    """The value of one of several patches, or the one that holds for all."""
    values = _numbers(condition.get(kind, default))
    return values[patch] if len(values) == n_patches else values[0]


def _numbers(value: ParameterValue) -> list[float]:
    if isinstance(value, str):
        return []
    return [float(number) for number in value] if isinstance(value, list) else [float(value)]


def _uniform(colour: float, mean_luminance: float) -> float:
    """The amplitude of a colour, -1 to 1: black and white are 0 and 255 whatever grey is."""
    room = 255.0 - mean_luminance if colour > 0 else mean_luminance
    return colour * room / min(mean_luminance, 255.0 - mean_luminance)


def _luminance(amplitude: npt.NDArray[np.float64], mean_luminance: float) -> npt.NDArray[np.uint8]:
    shown = mean_luminance + amplitude * min(mean_luminance, 255.0 - mean_luminance)
    return np.rint(shown).clip(0, 255).astype(np.uint8)
