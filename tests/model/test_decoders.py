"""Decoders: neurons as queries, frames of any size."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.model.decoders import NeuralDecoder, StimulusDecoder
from nwb_mivae.model.likelihoods import Likelihood
from tests.tiny_model import FRAMES, tiny_configuration, tiny_module


@pytest.mark.parametrize("size", [(12, 16), (18, 32), (35, 61), (4, 5), (36, 64)])
@torch.no_grad()
def test_frames_of_any_size_are_decoded_into_luminance(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    decoder = StimulusDecoder(tiny_configuration(), *size)
    frames = decoder(10 * torch.randn(2, 3, 4), 10 * torch.randn(2, 3, 5))
    assert frames.shape == (2, 3, 1, *size)
    assert frames.min() >= 0
    assert frames.max() <= 1
    assert frames.std() > 0


@pytest.mark.parametrize("likelihood", ["gaussian", "poisson", "zero_inflated_gamma"])
@torch.no_grad()
def test_each_neuron_is_decoded_from_its_own_descriptor(likelihood: Likelihood) -> None:
    torch.manual_seed(0)
    decoder = NeuralDecoder(tiny_configuration(), likelihood)
    shared, private, descriptors = torch.randn(2, 8, 4), torch.randn(2, 8, 3), torch.randn(9, 16)
    drive, parameters = decoder(shared, private, descriptors)
    assert drive.shape == (2, 8, 9)
    assert parameters.shape[0] == 9
    some = torch.tensor([7, 2])
    drive_of_some, parameters_of_some = decoder(shared, private, descriptors[some])
    torch.testing.assert_close(drive_of_some, drive[:, :, some])
    torch.testing.assert_close(parameters_of_some, parameters[some])


@torch.no_grad()
def test_the_drive_is_the_product_of_query_and_trunk_plus_a_bias_of_the_neuron() -> None:
    torch.manual_seed(0)
    decoder = NeuralDecoder(tiny_configuration(), "gaussian")
    shared, private, descriptors = torch.randn(1, 8, 4), torch.randn(1, 8, 3), torch.randn(2, 16)
    trunk = decoder.trunk(torch.cat([shared, private], -1))
    query = decoder.query(descriptors)
    drive = decoder(shared, private, descriptors)[0]
    for neuron in range(2):
        for frame in range(8):
            expected = query[neuron, :16] @ trunk[0, frame] / 16**0.5 + query[neuron, 16]
            assert drive[0, frame, neuron].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("trace_kind", ["spikes", "deconvolved"])
@torch.no_grad()
def test_counts_and_deconvolved_activity_are_expected_to_be_positive(trace_kind: str) -> None:
    module = tiny_module(trace_kind=trace_kind)
    descriptors = module.describe(torch.rand(6, 3), None)
    found = module.decode_neural(torch.randn(2, FRAMES, 4) * 5, torch.randn(2, FRAMES, 3) * 5, descriptors)
    assert found.shape == (2, FRAMES, 6)
    assert (found > 0).all()
