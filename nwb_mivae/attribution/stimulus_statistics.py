"""What a frame of the stimulus is like at each pixel: where its edges are, its contrast, its change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["STATISTICS", "edge_strength", "stimulus_statistics"]

_Array = npt.NDArray[np.float64]

#: Names and meanings; luminance is 0 (black) to 1 (white).
STATISTICS: Mapping[str, str] = {
    "luminance": "luminance of the pixel",
    "edge_strength": "magnitude of the Scharr gradient, luminance per pixel",
    "orientation_energy": "root of the quadrature Gabor energy, the largest of four orientations, summed over two "
    "wavelengths, as the amplitude in luminance of the gratings that would give it",
    "local_contrast": "standard deviation of luminance in a Gaussian window",
    "luminance_change": "absolute difference in luminance to the frame before; none for the first frame of a clip",
}

_ORIENTATIONS = 4
#: Shorter waves than this are not resolved by pixels.
_SHORTEST_WAVE = 3.0
#: Smaller differences than so many decimals of luminance (a grey level is 0.004) are rounding errors, which ranks would
#: make as large as any other.
_DECIMALS = 6


def stimulus_statistics(frames: npt.NDArray[np.uint8]) -> dict[str, _Array]:
    """Statistics of the frames of one clip, pixel by pixel.

    Lengths scale with the frame: the Gabor functions have wavelengths of an eighth and a quarter of the frame's height
    (at least 3 and 6 pixels) and a Gaussian envelope with a standard deviation of half a wavelength, about an octave
    wide; the window of the local contrast has one of an eighteenth of the height (at least a pixel). Frames are
    continued beyond their borders by mirroring.

    Parameters
    ----------
    frames : ndarray of uint8, (T, H, W)
        Frames that follow each other.

    Returns
    -------
    dict of str to ndarray of float64, (T, H, W)
        Keyed by :data:`STATISTICS`, rounded to a millionth. ``luminance_change`` is NaN at the first frame.

    Notes
    -----
    Scharr's weights (3, 10, 3) are those of his thesis (Heidelberg, 2000). Energy is that of Adelson and Bergen (1985):
    squares of an even and an odd filter, added; a constant is taken out of the even one, so that a uniform field has
    none.
    """
    from scipy.ndimage import gaussian_filter

    luminance = np.asarray(frames, dtype=np.float64) / 255.0
    window = (0.0, *[max(luminance.shape[1] / 18, 1.0)] * 2)
    mean = gaussian_filter(luminance, window)
    variance = gaussian_filter(luminance**2, window) - mean**2
    change = np.full(luminance.shape, np.nan)
    change[1:] = np.abs(np.diff(luminance, axis=0))
    values = {
        "luminance": luminance,
        "edge_strength": edge_strength(luminance),
        "orientation_energy": _orientation_energy(luminance),
        # Rounding leaves 1e-17 or so where there is no variance, and its root is not small.
        "local_contrast": np.sqrt(np.where(variance > 1e-12, variance, 0.0)),
        "luminance_change": change,
    }
    return {name: np.round(values[name], _DECIMALS) for name in STATISTICS}


def edge_strength(luminance: _Array) -> _Array:
    """Magnitude of the Scharr gradient of frames (T, H, W) of luminance 0 to 1, in luminance per pixel."""
    from scipy.ndimage import correlate1d

    slope, across = np.array([-0.5, 0.0, 0.5]), np.array([3.0, 10.0, 3.0]) / 16
    down = correlate1d(correlate1d(luminance, slope, axis=1), across, axis=2)
    right = correlate1d(correlate1d(luminance, slope, axis=2), across, axis=1)
    return np.asarray(np.hypot(down, right))


def _orientation_energy(luminance: _Array) -> _Array:
    shortest = max(luminance.shape[1] / 8, _SHORTEST_WAVE)
    angles = np.arange(_ORIENTATIONS) * np.pi / _ORIENTATIONS
    total = np.zeros(luminance.shape)
    for wavelength in (shortest, 2 * shortest):
        total += np.max([_gabor_amplitude(luminance, wavelength, angle) for angle in angles], axis=0)
    return total


def _gabor_amplitude(luminance: _Array, wavelength: float, angle: float) -> _Array:
    """Amplitude of a grating of this wavelength and angle; the Gabor function is one of rows times one of columns."""
    from scipy.ndimage import correlate1d

    spread = wavelength / 2
    place = np.arange(-int(np.ceil(3 * spread)), int(np.ceil(3 * spread)) + 1)
    envelope = np.exp(-0.5 * (place / spread) ** 2)
    envelope /= envelope.sum()
    waves: list[npt.NDArray[Any]] = [
        envelope * np.exp(2j * np.pi / wavelength * part * place) for part in (np.sin(angle), np.cos(angle))
    ]
    even_and_odd = correlate1d(correlate1d(luminance, waves[0], axis=1), waves[1], axis=2)
    constant = waves[0].sum() * waves[1].sum()
    blurred = correlate1d(correlate1d(luminance, envelope, axis=1), envelope, axis=2)
    return np.asarray(2 * np.abs(even_and_odd - constant * blurred))
