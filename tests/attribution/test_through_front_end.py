"""Pixels through the visual front end in one matrix a frame, against the encoder as it is."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from nwb_mivae.attribution.score import FisherMaps, fisher, linearise
from nwb_mivae.attribution.through_front_end import exact_fisher_of_pixels, linearise_pixels
from nwb_mivae.clips.batch import ClipBatch
from nwb_mivae.model import Gaussian, MiVAEModule, ModuleShape
from tests.attribution.precise import in_double_precision, precise_clips
from tests.tiny_model import AUXILIARY, tiny_configuration

FRAMES = 11
Latents = Literal["shared", "private"]
#: Areas of one pixel, of four, and areas that overlap.
SIZES = [(8, 12), (36, 20), (20, 11)]


@pytest.fixture(autouse=True)
def _precise(monkeypatch: pytest.MonkeyPatch) -> None:
    in_double_precision(monkeypatch)


def module_and_clips(height: int, width: int, **changes: Any) -> tuple[MiVAEModule, ClipBatch]:
    settings = {"stimulus_encoder": "front_end", "shared_latents": 2, "stimulus_private_latents": 2} | changes
    shape = ModuleShape(height, width, AUXILIARY, "dff", 30.0, FRAMES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = MiVAEModule(tiny_configuration(**settings), shape).double().eval()
        stimulus = torch.rand(2, FRAMES, 1, height, width, dtype=torch.float64)
    return module, dataclasses.replace(precise_clips(2), stimulus=stimulus)


def encoder(module: MiVAEModule, latents: Latents) -> Any:
    def encode(luminance: Tensor) -> Gaussian:
        posterior = module.encode_stimulus(luminance[:, :, None])
        return posterior.shared if latents == "shared" else posterior.private

    return encode


def assert_same(found: FisherMaps, expected: FisherMaps) -> None:
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("latents", ["shared", "private"])
@pytest.mark.parametrize(("height", "width"), SIZES)
@torch.no_grad()
def test_the_way_back_is_that_of_the_encoder(height: int, width: int, latents: Latents) -> None:
    module, batch = module_and_clips(height, width)
    found = linearise_pixels(module, batch, latents=latents)
    expected = linearise(encoder(module, latents), batch.stimulus[:, :, 0])
    generator = torch.Generator().manual_seed(0)
    shape = (3, *expected.posterior.mean.shape)
    cotangents = tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(found.posterior.mean, expected.posterior.mean)
    torch.testing.assert_close(found.posterior.log_variance, expected.posterior.log_variance)
    torch.testing.assert_close(found.source, expected.source)
    back = expected.pull_back((cotangents[0], cotangents[1]))
    assert back.abs().max() > 1e-3
    torch.testing.assert_close(found.pull_back((cotangents[0], cotangents[1])), back, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("latents", ["shared", "private"])
@pytest.mark.parametrize(("height", "width"), SIZES)
@torch.no_grad()
def test_exact_fisher_is_what_every_row_of_the_jacobian_says(height: int, width: int, latents: Latents) -> None:
    module, batch = module_and_clips(height, width)
    linearised = linearise(encoder(module, latents), batch.stimulus[:, :, 0])
    expected = fisher(linearised, probes=None, vectors_at_once=22)
    found = exact_fisher_of_pixels(module, batch, latents=latents)
    assert found.per_probe.shape == (1, 2, FRAMES, height, width)
    assert_same(found, expected)


@torch.no_grad()
def test_how_much_is_done_at_once_changes_no_figure() -> None:
    module, batch = module_and_clips(36, 20)
    assert_same(exact_fisher_of_pixels(module, batch, memory=1e-3), exact_fisher_of_pixels(module, batch))


@torch.no_grad()
def test_a_stimulus_encoder_that_is_learned_from_pixels_on_is_differentiated_as_it_is() -> None:
    module, batch = module_and_clips(8, 12, stimulus_encoder="convolutional")
    linearised = linearise(encoder(module, "shared"), batch.stimulus[:, :, 0])
    expected = fisher(linearised, probes=None, vectors_at_once=22)
    assert_same(exact_fisher_of_pixels(module, batch), expected)
