"""Stimulus frames at the resolution of the store, and the digest their identity is known by."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

__all__ = ["DIGEST_BYTES", "frame_digests", "resize_frames"]

#: Length of a digest.
DIGEST_BYTES = 16


def resize_frames(frames: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Frames at another resolution, without aliasing.

    Parameters
    ----------
    frames : ndarray of uint8, (n, H, W)
        Luminance.
    height, width : int
        Wanted size. Along an axis made smaller each new pixel is the mean over its area; along one made larger it is
        interpolated linearly between pixel centres. Both axes fill the frame: another aspect ratio is stretched.

    Returns
    -------
    ndarray of uint8, (n, height, width)
    """
    _, source_height, source_width = frames.shape
    if (source_height, source_width) == (height, width):
        return np.ascontiguousarray(frames)
    rows = _axis_weights(source_height, height)
    columns = _axis_weights(source_width, width)
    resized = np.matmul(np.matmul(rows, frames.astype(np.float32)), columns.T)
    whole: npt.NDArray[np.uint8] = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return whole


def _axis_weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Weights (target, source) of area averaging (smaller) or linear interpolation (larger); each row sums to 1."""
    if target <= source:
        edges = np.linspace(0.0, source, target + 1)
        pixels = np.arange(source)
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        weights = np.clip(overlap, 0.0, None)
    else:
        centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        weights = np.clip(1.0 - np.abs(centres[:, None] - np.arange(source)), 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def frame_digests(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """BLAKE2b digest of every frame's pixels, (n, 16) uint8."""
    size = frames[0].size if len(frames) else 0
    data = np.ascontiguousarray(frames).reshape(-1).data
    digests = [
        hashlib.blake2b(data[first : first + size], digest_size=DIGEST_BYTES).digest()
        for first in range(0, len(frames) * size, max(1, size))
    ]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
