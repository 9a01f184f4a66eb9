"""The stimulus encoder: frame sizes, features, and how far it looks."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.model.stimulus_encoder import ConvolutionalStimulusEncoder, make_stimulus_encoder
from tests.tiny_model import random_clips, random_episode, tiny_configuration, tiny_module


@pytest.mark.parametrize("design", ["convolutional", "front_end"])
@pytest.mark.parametrize("size", [(12, 16), (18, 32), (35, 61), (4, 5), (36, 64)])
@pytest.mark.parametrize("frames", [1, 16])
@torch.no_grad()
def test_shapes_at_any_frame_size_and_length(size: tuple[int, int], frames: int, design: str) -> None:
    torch.manual_seed(0)
    encoder = make_stimulus_encoder(tiny_configuration(stimulus_encoder=design), *size, 30.0)
    stimulus = torch.rand(2, frames, 1, *size)
    posterior = encoder(stimulus)
    assert posterior.shared.mean.shape == posterior.shared.log_variance.shape == (2, frames, 4)
    assert posterior.private.mean.shape == posterior.private.log_variance.shape == (2, frames, 5)
    assert posterior.features.shape == (2, frames, 6)
    torch.testing.assert_close(encoder.stimulus_features(stimulus), posterior.features)


@torch.no_grad()
def test_features_are_normalised_per_frame() -> None:
    torch.manual_seed(0)
    features = ConvolutionalStimulusEncoder(tiny_configuration(), 12, 16).stimulus_features(torch.rand(3, 8, 1, 12, 16))
    torch.testing.assert_close(features.mean(-1), torch.zeros(3, 8), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.std(-1, correction=0), torch.ones(3, 8), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("design", ["convolutional", "front_end"])
@torch.no_grad()
def test_each_clip_is_encoded_on_its_own_and_every_pixel_counts(design: str) -> None:
    torch.manual_seed(0)
    encoder = make_stimulus_encoder(tiny_configuration(stimulus_encoder=design), 18, 13, 30.0)
    stimulus = torch.rand(2, 8, 1, 18, 13)
    before = encoder(stimulus).shared.mean
    torch.testing.assert_close(encoder(stimulus[1:]).shared.mean, before[1:], rtol=1e-4, atol=1e-5)
    for row, column in ((0, 0), (17, 12), (9, 6)):
        changed = stimulus.clone()
        changed[0, 4, 0, row, column] += 1.0
        difference = (encoder(changed).shared.mean - before).abs().amax((1, 2))
        assert difference[0] > 1e-6
        assert difference[1] < 1e-5


@torch.no_grad()
def test_behind_a_front_end_latents_begin_as_the_closed_form_has_them() -> None:
    module = tiny_module(stimulus_encoder="front_end")
    clips = random_clips(clips=12)
    assert module.front_end is not None
    module.front_end.fit_components([clips.stimulus])
    module.begin_with_closed_form()
    for head in (module.stimulus_encoder.shared, module.neural_shared):
        head.weight[:, : head.in_features - 6] = 0.0  # what is mixed over time adds a little
    context = module.make_context(clips.neural, module.stimulus_features(clips.stimulus))
    stimulus = module.encode_stimulus(clips.stimulus)
    neural = module.encode_neural(clips.neural, clips.coordinates, context, clips.auxiliary)
    torch.testing.assert_close(stimulus.shared.mean, stimulus.features[..., :4])
    torch.testing.assert_close(neural.shared.mean, module.predict_features(clips.neural, context)[..., :4])
    torch.testing.assert_close(neural.shared.log_variance, torch.zeros(12, 8, 4), rtol=0, atol=0.1)
    assert module.cortical_map is not None
    module.cortical_map.weights.normal_()
    without = module.encode_neural(clips.neural, clips.coordinates, None, clips.auxiliary)
    by_place = module.cortical_map(clips.neural, clips.coordinates)
    assert by_place.abs().mean() > 0.1
    torch.testing.assert_close(without.shared.mean, by_place[..., :4])


def test_a_front_end_never_learns_and_all_behind_it_does() -> None:
    module = tiny_module(stimulus_encoder="front_end")
    module.begin_with_closed_form()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.loss([random_episode()]).total.backward()
    learned = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert not any("front_end" in name for name in learned)
    assert {"stimulus_encoder.shared.weight", "stimulus_encoder.trunk.enter.weight"} <= learned
    assert {"stimulus_encoder.front_end.basis", "stimulus_encoder.front_end.centre"} <= set(before)


def test_without_a_front_end_there_is_nothing_to_begin_with() -> None:
    module = tiny_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.begin_with_closed_form()
    assert module.front_end is None
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
