"""Flashed pictures: a still picture, grey, the next picture, grey; photographs, or smooth patches of light and dark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nwb_mivae.simulation.movies import still
from nwb_mivae.simulation.photographs import Photographs

__all__ = ["GREY", "flash_patches", "flash_photographs"]

Picture = npt.NDArray[np.uint8]

#: Luminance between pictures: of the two levels next to the grey screen's (0.5 of full light, which 8 bits do not
#: have), the one by which clip stores show it.
GREY = 128

#: Standard deviation, as a share of the frame's rows, of the Gaussian that smooths the noise of light and dark
#: patches: their borders are wider than the stripes of Gabor filters.
_PATCH_SHARE = 0.6
#: What the smooth noise, of unit variance, is multiplied with before it saturates at black and white.
_PATCH_CONTRAST = 1.0
#: Least standard deviation of luminance within a picture of patches: a uniform one would have none.
_LEAST_CONTRAST = 25.0


def flash_photographs(
    random: np.random.Generator,
    photographs: Photographs,
    *,
    n_frames: int,
    frames_per_flash: int,
    height: int,
    width: int,
) -> Picture:
    """Flash still views of photographs, chosen as the views of natural movies are.

    Returns
    -------
    ndarray of uint8, (n_frames, height, width)
        Luminance, 255 the brightest: a picture for ``frames_per_flash`` frames, :data:`GREY` for as many, and so on.
    """
    return _flash(lambda: still(random, photographs, height=height, width=width), n_frames, frames_per_flash)


def flash_patches(
    random: np.random.Generator, *, n_frames: int, frames_per_flash: int, height: int, width: int
) -> Picture:
    """Flash smooth light and dark patches: much local luminance, hardly anything where Gabor filters are tuned.

    Returns
    -------
    ndarray of uint8, (n_frames, height, width)
        Luminance, 255 the brightest: a picture for ``frames_per_flash`` frames, :data:`GREY` for as many, and so on.
    """
    return _flash(lambda: _patches(random, height, width), n_frames, frames_per_flash)


def _flash(draw: Callable[[], Picture], n_frames: int, frames_per_flash: int) -> Picture:
    pictures = []
    for first in range(0, n_frames, 2 * frames_per_flash):
        picture = draw()
        shown = np.arange(min(2 * frames_per_flash, n_frames - first)) < frames_per_flash
        pictures.append(np.where(shown[:, None, None], picture, np.uint8(GREY)))
    return np.concatenate(pictures)


def _patches(random: np.random.Generator, height: int, width: int) -> Picture:
    """One picture of light and dark patches: low-pass noise through a curve that saturates."""
    deviation = _PATCH_SHARE * height
    # Noise over a larger field, so that its opposite borders, which a Fourier transform joins, are not both seen.
    rows, columns = (size + int(np.ceil(4.0 * deviation)) for size in (height, width))
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    passed = np.exp(-2.0 * (np.pi * deviation * frequency) ** 2)
    # To unit variance: a Gaussian of unit sum, squared, sums to 1 / (4 pi deviation^2).
    passed *= 2.0 * np.sqrt(np.pi) * deviation
    luminance = np.zeros((height, width))
    while luminance.std() < _LEAST_CONTRAST:
        noise = np.fft.irfft2(passed * np.fft.rfft2(random.standard_normal((rows, columns))), s=(rows, columns))
        luminance = 127.5 + 127.5 * np.tanh(_PATCH_CONTRAST * noise[:height, :width])
    return np.asarray(np.round(luminance), dtype=np.uint8)
