"""Stimulus features that stand in for a learned encoder: pixels, and Gabor energies as a simple model of V1."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nwb_mivae.clips import ClipStore, Split, evenly

FloatArray = npt.NDArray[np.float32]
IntegerArray = npt.NDArray[np.int64]
Kind = Literal["pixels", "gabor", "gabor_phases"]

_AT_ONCE = 512
#: Frames that principal components are taken from: many times their number, and few enough for any store.
_COMPONENT_FRAMES = 6000
_PIXEL_ROWS, _PIXEL_COLUMNS = 18, 32
_ORIENTATIONS = 4
#: Wavelengths in pixels of a frame 18 pixels high; they grow with the frame.
_WAVELENGTHS = (4.0, 7.0)
_REFERENCE_HEIGHT = 18
#: Energy, at unit contrast, below which the divisive normalisation no longer amplifies.
_SEMI_SATURATION = 4e-4
_LUMINANCE_GAIN = 4.0


class StimulusFeatures:
    """Features of single frames, standardised over the stimuli of the training part.

    Parameters
    ----------
    store, split : ClipStore, Split
        Frames, and which of them are for training: no other ones are looked at here.
    kind : {"pixels", "gabor", "gabor_phases"}
        Area-averaged pixels; energies of four orientations on two scales, normalised by all energies near by, with
        coarse luminance; or the same with the four half-rectified phases of each filter beside its energy.
    components : int, optional
        Keep so many principal components (or as many as there are); by default the features themselves.
    whiten : bool
        Bring every component to unit variance. Else the first has, and the others keep their ratio to it.
    """

    def __init__(
        self, store: ClipStore, split: Split, kind: Kind, *, components: int | None = None, whiten: bool = False
    ) -> None:
        self._store = store
        self._kind = kind
        self._bank = _gabor_bank(store.height) if kind != "pixels" else None
        self._mean: FloatArray | None = None
        train = np.flatnonzero(split.part_of_content[store.content_of_row] == 0).astype(np.int64)
        raw = self._raw(evenly(train, _COMPONENT_FRAMES))
        self._mean = raw.mean(axis=0)
        self._basis: FloatArray | None = None
        deviation = raw.std(axis=0)
        # A feature that hardly ever moves must not become one that jumps.
        self._scale = np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-12)).astype(np.float32)
        if components is not None:
            scaled = (raw - self._mean) / (self._scale if kind != "pixels" else np.float32(1.0))
            values, vectors = np.linalg.eigh((scaled.T @ scaled / len(scaled)).astype(np.float64))
            order = np.argsort(values)[::-1][: min(components, len(values))]
            order = order[values[order] > 1e-6 * values[order[0]]]
            size = np.sqrt(values[order] if whiten else np.full(len(order), values[order[0]]))
            basis = vectors[:, order] / size
            if kind != "pixels":
                basis = basis / self._scale[:, None]
            self._basis = basis.astype(np.float32)

    def __call__(self, rows: IntegerArray) -> FloatArray:
        """Features of rows of the store's stimulus, ``rows.shape + (D,)``; equal rows are computed once."""
        distinct, place = np.unique(rows, return_inverse=True)
        raw = self._raw(distinct)
        raw -= self._mean
        features = raw / self._scale if self._basis is None else raw @ self._basis
        return features[place.reshape(rows.shape)]

    def _raw(self, rows: IntegerArray) -> FloatArray:
        parts = []
        for start in range(0, len(rows), _AT_ONCE):
            frames = torch.from_numpy(self._store.stimulus[rows[start : start + _AT_ONCE]])
            frames = frames.to(torch.float32)[:, None] / 255.0 - 0.5
            parts.append(_pixels(frames) if self._bank is None else self._gabor(frames, self._bank))
        return torch.cat(parts).numpy()

    def _gabor(self, frames: Tensor, bank: Tensor) -> Tensor:
        from torch.nn import functional

        padding = bank.shape[-1] // 2
        # Three samples to the shorter wavelength: energies vary no faster than the filters' envelopes.
        stride = max(1, round(_WAVELENGTHS[0] * 0.75 * self._store.height / _REFERENCE_HEIGHT))
        pairs = functional.conv2d(frames, bank, padding=padding, stride=stride).unflatten(1, (-1, 2))
        energy = pairs.square().sum(2)
        around = functional.avg_pool2d(energy.mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)
        parts = [(energy / (_SEMI_SATURATION + around)).flatten(1)]
        if self._kind == "gabor_phases":
            for sign in (1, -1):
                phases = torch.relu(sign * pairs).square().flatten(1, 2)
                parts.append((phases / (_SEMI_SATURATION + around)).flatten(1))
        luminance = functional.avg_pool2d(frames, stride + 1, stride)
        if self._kind == "gabor_phases":
            parts += [torch.relu(sign * luminance).flatten(1) * _LUMINANCE_GAIN for sign in (1, -1)]
        else:
            parts.append(luminance.flatten(1))
        return torch.cat(parts, dim=1)


def _pixels(frames: Tensor) -> Tensor:
    from torch.nn import functional

    height, width = min(frames.shape[2], _PIXEL_ROWS), min(frames.shape[3], _PIXEL_COLUMNS)
    return functional.adaptive_avg_pool2d(frames, (height, width)).flatten(1)


def _gabor_bank(height: int) -> Tensor:
    """Even and odd filters in turn, (2 x orientations x scales, 1, S, S), without response to uniform frames."""
    size = height / _REFERENCE_HEIGHT
    half = round(_WAVELENGTHS[-1] * size)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    filters = []
    for wavelength in _WAVELENGTHS:
        wavelength *= size
        for number in range(_ORIENTATIONS):
            angle = np.pi * number / _ORIENTATIONS
            across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            envelope = np.exp(-0.5 * ((across / (0.45 * wavelength)) ** 2 + (along / (0.6 * wavelength)) ** 2))
            for phase in (0.0, np.pi / 2):
                carrier = envelope * np.cos(2 * np.pi * across / wavelength + phase)
                carrier -= envelope * carrier.sum() / envelope.sum()
                filters.append(carrier / np.abs(carrier).sum())
    return torch.tensor(np.array(filters)[:, None], dtype=torch.float32)
