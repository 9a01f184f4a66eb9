"""Models in double precision, where two ways to the same derivatives agree to many digits."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from nwb_mivae.clips.batch import ClipBatch
from nwb_mivae.model import Context, MiVAEModule
from tests.tiny_model import random_clips


def in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what the model does in single precision, whatever it is given, be done in double precision."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def precise_clips(clips: int = 2, cells: int = 5, *, seed: int = 0) -> ClipBatch:
    batch = random_clips(clips, cells, seed=seed)
    return dataclasses.replace(
        batch,
        neural=batch.neural.double(),
        stimulus=batch.stimulus.double(),
        auxiliary=batch.auxiliary.double(),
        coordinates=batch.coordinates.double(),
    )


def random_context(module: MiVAEModule, cells: int, *, seed: int = 0) -> Context:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    features = module.configuration.stimulus_features
    lags, offsets = (
        len(times) for times in (module.configuration.fingerprint_lags, module.configuration.readout_offsets)
    )
    readout = drawn(offsets, cells, features) / cells**0.5
    return Context(drawn(cells, lags * features), readout, drawn(cells), drawn(features), 100)


def draw_cortical_map(module: MiVAEModule) -> None:
    """A map that predicts something, as a fitted one does."""
    assert module.cortical_map is not None
    generator = torch.Generator().manual_seed(0)
    module.cortical_map.places.copy_(torch.rand(module.cortical_map.places.shape, generator=generator) * 500 - 250)
    module.cortical_map.distance.fill_(100.0)
    module.cortical_map.weights.copy_(torch.randn(module.cortical_map.weights.shape, generator=generator))
