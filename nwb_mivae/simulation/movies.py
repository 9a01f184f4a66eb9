"""Natural movies: pans and zooms over photographs, joined by cuts; and single views, chosen as theirs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.simulation.photographs import Photographs

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["film", "still"]

_SHOT_SECONDS = (0.5, 2.0)
_ZOOM_PROBABILITY = 0.3
#: Largest change of scale during a zoom.
_ZOOM_RATIO = 2.0
#: Width of what is seen, as a share of the widest view the photograph allows.
_VIEW_SHARE = (0.18, 0.65)
#: Speed of pans, in frame widths per second.
_PAN_SPEED = (0.1, 0.8)
#: Standard deviation of luminance below which a view is an empty sky: shots do not begin or end there, if one of this
#: many takes can help it.
_LEAST_CONTRAST = 25.0
_MOST_TAKES = 20
#: Frame rate, in Hz, of the shot of a single frame that a still view is: where the camera would pan to matters little.
_STILL_RATE = 30.0


def film(
    random: np.random.Generator,
    photographs: Photographs,
    *,
    n_frames: int,
    height: int,
    width: int,
    frame_rate: float,
) -> npt.NDArray[np.uint8]:
    """Film one movie: a cut to another place or photograph every 0.5 to 2 s, a pan or a zoom in between.

    Returns
    -------
    ndarray of uint8, (n_frames, height, width)
        Luminance, 255 the brightest.
    """
    movie = np.empty((n_frames, height, width), dtype=np.uint8)
    frame = 0
    before = -1
    while frame < n_frames:
        length = max(2, round(random.uniform(*_SHOT_SECONDS) * frame_rate))
        number = int(random.integers(len(photographs)))
        if number == before:
            number = (number + 1) % len(photographs)
        before = number
        photograph = photographs[number]
        mirrored = bool(random.integers(2))
        boxes = _take(random, photograph, length, height, width, frame_rate)
        for box in boxes[: n_frames - frame]:
            pixels = _view(photograph, box, height, width)
            movie[frame] = pixels[:, ::-1] if mirrored else pixels
            frame += 1
    return movie


def still(random: np.random.Generator, photographs: Photographs, *, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Take one view of one photograph, (height, width), as a shot of a movie begins."""
    photograph = photographs[int(random.integers(len(photographs)))]
    mirrored = bool(random.integers(2))
    (box,) = _take(random, photograph, 1, height, width, _STILL_RATE)
    pixels = _view(photograph, box, height, width)
    return pixels[:, ::-1] if mirrored else pixels


def _take(
    random: np.random.Generator, photograph: Image, length: int, height: int, width: int, frame_rate: float
) -> npt.NDArray[np.float64]:
    """Boxes of a shot that neither begins nor ends in an empty sky, if one of :data:`_MOST_TAKES` takes can help it."""
    for _ in range(_MOST_TAKES):
        boxes = _camera_path(random, photograph.size, length, height / width, frame_rate)
        if min(_view(photograph, box, height, width).std() for box in boxes[[0, -1]]) >= _LEAST_CONTRAST:
            break
    return boxes


def _view(photograph: Image, box: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.uint8]:
    from PIL.Image import Resampling

    left, upper, right, lower = box.tolist()
    return np.asarray(photograph.resize((width, height), Resampling.BILINEAR, box=(left, upper, right, lower)))


def _camera_path(
    random: np.random.Generator, size: tuple[int, int], length: int, aspect: float, frame_rate: float
) -> npt.NDArray[np.float64]:
    """Boxes (left, upper, right, lower) of each frame of a shot, inside a photograph of (width, height) ``size``."""
    widest = min(size[0], size[1] / aspect)
    start_width = widest * random.uniform(*_VIEW_SHARE)
    end_width = start_width
    if random.random() < _ZOOM_PROBABILITY:
        end_width = float(np.clip(start_width * _ZOOM_RATIO ** random.uniform(-1.0, 1.0), 0.2 * widest, widest))
    time = np.linspace(0.0, 1.0, length)
    widths = start_width * (end_width / start_width) ** time
    heights = widths * aspect

    direction = random.uniform(0.0, 2.0 * np.pi)
    distance = random.uniform(*_PAN_SPEED) * start_width * length / frame_rate
    path = np.empty((length, 2))
    for axis, (component, extent) in enumerate(
        zip((np.cos(direction), np.sin(direction)), (widths, heights), strict=True)
    ):
        # The centre must stay half a view away from the border; a pan that would leave the photograph is shortened.
        room = max(0.0, size[axis] - extent.max())
        step = float(np.clip(component * distance, -room, room))
        start = extent.max() / 2.0 + max(0.0, -step) + (room - abs(step)) * random.random()
        path[:, axis] = start + step * time
    boxes = np.stack(
        [path[:, 0] - widths / 2, path[:, 1] - heights / 2, path[:, 0] + widths / 2, path[:, 1] + heights / 2], axis=1
    )
    limit = np.array([size[0], size[1], size[0], size[1]], dtype=np.float64)
    return np.clip(boxes, 0.0, limit)
