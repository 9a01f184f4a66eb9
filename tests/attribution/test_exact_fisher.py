"""The exact Fisher score of neurons by matrix products, against every row of the encoder's Jacobian."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from nwb_mivae.attribution import exact_fisher
from nwb_mivae.attribution.exact_fisher import exact_fisher_of_neurons
from nwb_mivae.attribution.score import FisherMaps, fisher, linearise
from nwb_mivae.clips.batch import ClipBatch
from nwb_mivae.model import Context, Gaussian, MiVAEModule
from tests.attribution.precise import draw_cortical_map, in_double_precision, precise_clips, random_context
from tests.tiny_model import seconds, tiny_module

CELLS = 5
Latents = Literal["shared", "private"]


@pytest.fixture(autouse=True)
def _precise(monkeypatch: pytest.MonkeyPatch) -> None:
    in_double_precision(monkeypatch)


def every_row(module: MiVAEModule, batch: ClipBatch, context: Context | None, latents: Latents) -> FisherMaps:
    def encode(neural: Tensor) -> Gaussian:
        posterior = module.encode_neural(neural, batch.coordinates, context, batch.auxiliary)
        return posterior.shared if latents == "shared" else posterior.private

    return fisher(linearise(encode, batch.neural), probes=None, vectors_at_once=16)


def assert_same(found: FisherMaps, expected: FisherMaps) -> None:
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("latents", ["shared", "private"])
@pytest.mark.parametrize(
    ("changes", "context"),
    [
        ({}, True),
        ({}, False),
        # Read at both sides, and further than half the clip: at its ends a frame of activity counts for many.
        ({"readout_offsets": seconds(-6, -1, 0, 2, 5)}, True),
        # Never read at the first frames.
        ({"readout_offsets": seconds(3)}, True),
        ({"population": "coordinates"}, False),
        ({"population": "pooled", "pooled_bins": 16}, False),
    ],
)
@torch.no_grad()
def test_it_is_what_every_row_of_the_jacobian_says(changes: dict[str, Any], context: bool, latents: Latents) -> None:
    module = tiny_module(**changes).double().eval()
    if module.cortical_map is not None:
        draw_cortical_map(module)
    batch = precise_clips(2, CELLS)
    known = random_context(module, CELLS) if context else None
    found = exact_fisher_of_neurons(module, batch, known, latents=latents)
    assert found.per_probe.shape == (1, *batch.neural.shape)
    assert_same(found, every_row(module, batch, known, latents))


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 31])
@torch.no_grad()
def test_clips_may_be_shorter_or_longer_than_what_a_latent_reaches(frames: int) -> None:
    module = tiny_module(readout_offsets=seconds(-4, 0, 4)).double().eval()
    drawn = precise_clips(8, CELLS)
    batch = drawn.of_clips(torch.arange(1))
    batch = ClipBatch(
        session=batch.session,
        neural=drawn.neural.reshape(1, -1, CELLS)[:, :frames],
        stimulus=batch.stimulus,
        auxiliary=drawn.auxiliary.reshape(1, -1, drawn.auxiliary.shape[2])[:, :frames],
        coordinates=batch.coordinates,
        content=batch.content,
        start=batch.start,
    )
    context = random_context(module, CELLS)
    found = exact_fisher_of_neurons(module, batch, context)
    assert_same(found, every_row(module, batch, context, "shared"))


@torch.no_grad()
def test_how_much_is_done_at_once_changes_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module().double().eval()
    batch, context = precise_clips(3, CELLS), random_context(module, CELLS)
    whole = exact_fisher_of_neurons(module, batch, context)
    assert_same(exact_fisher_of_neurons(module, batch, context, memory=1e-3), whole)
    monkeypatch.setattr(exact_fisher, "_MOST_NEURONS", 2)
    assert_same(exact_fisher_of_neurons(module, batch, context), whole)
    clips = [exact_fisher_of_neurons(module, batch.of_clips(torch.tensor([clip])), context) for clip in range(3)]
    torch.testing.assert_close(torch.cat([of.per_probe for of in clips], dim=1), whole.per_probe)
    torch.testing.assert_close(torch.stack([of.per_latent for of in clips]).sum(0), whole.per_latent)
    torch.testing.assert_close(whole.per_probe[0].sum((0, 1)), whole.per_latent.sum(0))
