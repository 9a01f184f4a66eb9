"""A movie, and beside it the same with the attribution to its pixels laid over, as an animated GIF."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import AttributionError
from nwb_mivae.outputs import whole_file
from nwb_mivae.report.style import FloatArray, largest

__all__ = ["attribution_movie"]

_Bytes = npt.NDArray[np.uint8]

#: Of a panel, pixels: the first whose file is small enough is taken.
_PANEL_WIDTHS = (360, 270, 200, 150, 112)
_MOST_FRAMES = 64
_STRIP, _GAP = 18, 6

#: One palette for all frames: greys, and a few greys under each strength of attribution. No frame is dithered.
_GREYS, _COVERED_GREYS, _STRENGTHS = 64, 12, 16
#: Attribution is never opaque, so that what lies under it can be seen.
_OPACITY = 0.9
_NEGATIVE, _POSITIVE = (0x56, 0xB4, 0xE9), (0xFF, 0x6A, 0x00)


def attribution_movie(
    frames: _Bytes,
    maps: FloatArray,
    *,
    frame_rate: float,
    signed: bool,
    slower: float = 3.0,
    most_bytes: int = 1_200_000,
    path: str | PathLike[str] | None = None,
) -> bytes:
    """A movie side by side with itself under the attribution to its pixels, as an animated GIF that starts anew.

    One scale holds for the whole movie, from zero to the 99.5th percentile of the magnitude. Small frames are enlarged
    pixel by pixel to panels of about 360 pixels, large ones are averaged; of more than 64 frames every second (third,
    ...) is shown. Panels are made narrower, at least to 112 pixels, until the file is small enough.

    Good: colour lies on edges, texture and moving things, and goes where they go. Bad: colour that stays in one place
    whatever is shown, a checkerboard, or the border alone (the network's own structure, not the stimulus).

    Parameters
    ----------
    frames : ndarray of uint8, (T, H, W)
        What was shown, black 0 to white 255.
    maps : ndarray, (T, h, w)
        Attribution to the pixels at each frame, of the whole picture; its resolution may be another. Where it is NaN,
        the movie is shown without.
    frame_rate : float
        Frames per second as they were shown.
    signed : bool
        Negative values blue and positive ones orange; otherwise magnitudes, from purple (little) to yellow (much).
    slower : float
        How many times slower than shown it plays; the time written over it is the stimulus' own.
    most_bytes : int
        How large the file may be.
    path : path-like, optional
        Where to write the file too.

    Returns
    -------
    bytes
        The GIF.

    Raises
    ------
    AttributionError
        If there are no frames, or frames and maps do not belong together.
    OutputError
        If the file cannot be written.
    """
    frames, maps = np.asarray(frames), np.asarray(maps)
    if frames.ndim != 3 or maps.ndim != 3 or len(frames) != len(maps) or 0 in (*frames.shape, *maps.shape):
        raise AttributionError(
            f"frames of shape {frames.shape} and maps of shape {maps.shape}",
            expected="as many frames as maps, at least one: (T, H, W) and (T, h, w)",
            remedy="give the attribution of exactly the frames that are shown",
        )
    if frames.dtype != np.uint8:
        raise AttributionError(
            f"frames of type {frames.dtype}",
            expected="uint8, black 0 to white 255",
            remedy="scale the luminance to 0 to 255 and round it",
        )
    step = math.ceil(len(frames) / _MOST_FRAMES)
    times = np.arange(len(frames))[::step] / frame_rate
    strength = np.clip(np.nan_to_num(maps[::step] / largest(maps, 99.5), posinf=0.0, neginf=0.0), -1, 1)
    if not signed:
        strength = np.abs(strength)
    for width in _PANEL_WIDTHS:
        animation = _animation(frames[::step], strength, times, signed, slower * step / frame_rate, width)
        if len(animation) <= most_bytes:
            break
    if path is not None:
        with whole_file(path) as beside:
            beside.write_bytes(animation)
    return animation


def _animation(
    frames: _Bytes, strength: FloatArray, times: FloatArray, signed: bool, seconds: float, width: int
) -> bytes:
    from PIL import Image

    palette = _palette(signed).tobytes()
    pictures = []
    for indices in _pictures(frames, strength, times, signed, width):
        picture = Image.fromarray(indices)
        picture.putpalette(palette)
        pictures.append(picture)
    stream = io.BytesIO()
    pictures[0].save(
        stream, "GIF", save_all=True, append_images=pictures[1:], loop=0, duration=max(20, round(1000 * seconds)),
        palette=palette, optimize=False,
    )  # fmt: skip
    return stream.getvalue()


def _palette(signed: bool) -> _Bytes:
    """Colours, (256, 3): greys, then for each strength from the weakest the greys under it."""
    from matplotlib import colormaps

    greys = np.repeat(np.linspace(0, 255, _GREYS)[:, None], 3, axis=1)
    if signed:
        half = _STRENGTHS // 2
        share = np.tile(np.arange(1, half + 1) / half, 2)
        colours = np.repeat(np.array([_NEGATIVE, _POSITIVE], dtype=np.float64), half, axis=0)
    else:
        share = np.arange(1, _STRENGTHS + 1) / _STRENGTHS
        # The dark end of the map would hide what it lies over without showing anything.
        colours = 255 * colormaps["inferno"](0.4 + 0.55 * share)[:, :3]
    opacity = (_OPACITY * share)[:, None, None]
    under = np.linspace(0, 255, _COVERED_GREYS)[None, :, None]
    covered = (1 - opacity) * under + opacity * colours[:, None]
    palette: _Bytes = np.rint(np.concatenate([greys, covered.reshape(-1, 3)])).astype(np.uint8)
    return palette


def _pictures(frames: _Bytes, strength: FloatArray, times: FloatArray, signed: bool, width: int) -> Iterator[_Bytes]:
    """Each frame of the animation as numbers of palette colours: writing above, and two panels."""
    steps = _STRENGTHS // 2 if signed else _STRENGTHS
    for frame, covering, time in zip(frames, strength, times, strict=True):
        size = _panel_size(frame.shape[1], frame.shape[0], width)
        grey = _resized(frame, size)
        level = np.rint(steps * _resized(covering.astype(np.float32), size)).astype(np.int64)
        plain = np.rint(grey / 255 * (_GREYS - 1))
        group = np.where(level < 0, -level, level + (steps if signed else 0)) - 1
        covered = _GREYS + group * _COVERED_GREYS + np.rint(grey / 255 * (_COVERED_GREYS - 1))
        gap = np.full((size[1], _GAP), _GREYS - 1)
        panels = np.concatenate([plain, gap, np.where(level == 0, plain, covered)], axis=1)
        key = "attribution: blue < 0 < orange" if signed else "attribution: yellow is most"
        strip = _writing(panels.shape[1], {0: f"{time:.2f} s", size[0] + _GAP: key})
        yield np.concatenate([strip, panels]).astype(np.uint8)


def _panel_size(frame_width: int, frame_height: int, width: int) -> tuple[int, int]:
    if frame_width > width:
        return width, max(1, round(frame_height * width / frame_width))
    scale = width // frame_width
    return frame_width * scale, frame_height * scale


def _resized(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """A picture enlarged pixel by pixel, or averaged over areas."""
    from PIL import Image

    smaller = values.shape[1] > size[0] or values.shape[0] > size[1]
    method = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values).resize(size, method))


def _writing(width: int, texts: dict[int, str]) -> npt.NDArray[np.int64]:
    """A white strip with black texts that begin at some columns, in greys of the palette."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("L", (width, _STRIP), 255)
    draw = ImageDraw.Draw(strip)
    for column, text in texts.items():
        draw.text((column + 2, 2), text, fill=0, font=ImageFont.load_default())
    return np.rint(np.asarray(strip) / 255 * (_GREYS - 1)).astype(np.int64)
