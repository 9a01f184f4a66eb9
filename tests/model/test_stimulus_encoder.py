"""The stimulus encoder: frame sizes, features, and how far it looks."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.model.stimulus_encoder import StimulusEncoder
from tests.tiny_model import tiny_configuration


@pytest.mark.parametrize("size", [(12, 16), (18, 32), (35, 61), (4, 5), (36, 64)])
@pytest.mark.parametrize("frames", [1, 16])
@torch.no_grad()
def test_shapes_at_any_frame_size_and_length(size: tuple[int, int], frames: int) -> None:
    torch.manual_seed(0)
    encoder = StimulusEncoder(tiny_configuration(), *size)
    stimulus = torch.rand(2, frames, 1, *size)
    posterior = encoder(stimulus)
    assert posterior.shared.mean.shape == posterior.shared.log_variance.shape == (2, frames, 4)
    assert posterior.private.mean.shape == posterior.private.log_variance.shape == (2, frames, 5)
    assert posterior.features.shape == (2, frames, 6)
    torch.testing.assert_close(encoder.stimulus_features(stimulus), posterior.features)


@torch.no_grad()
def test_features_are_normalised_per_frame() -> None:
    torch.manual_seed(0)
    features = StimulusEncoder(tiny_configuration(), 12, 16).stimulus_features(torch.rand(3, 8, 1, 12, 16))
    torch.testing.assert_close(features.mean(-1), torch.zeros(3, 8), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.std(-1, correction=0), torch.ones(3, 8), rtol=1e-2, atol=1e-2)


@torch.no_grad()
def test_each_clip_is_encoded_on_its_own_and_every_pixel_counts() -> None:
    torch.manual_seed(0)
    encoder = StimulusEncoder(tiny_configuration(), 18, 13)
    stimulus = torch.rand(2, 8, 1, 18, 13)
    before = encoder(stimulus).shared.mean
    torch.testing.assert_close(encoder(stimulus[1:]).shared.mean, before[1:], rtol=1e-4, atol=1e-5)
    for row, column in ((0, 0), (17, 12), (9, 6)):
        changed = stimulus.clone()
        changed[0, 4, 0, row, column] += 1.0
        difference = (encoder(changed).shared.mean - before).abs().amax((1, 2))
        assert difference[0] > 1e-6
        assert difference[1] < 1e-5
