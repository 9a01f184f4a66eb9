"""The visual front end: what its cells respond to, and the basis it takes from frames."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nwb_mivae.errors import ModelError
from nwb_mivae.model.population_basis import PopulationBasis
from nwb_mivae.model.visual_front_end import VisualFrontEnd

HEIGHT, WIDTH, RATE = 18, 32, 30.0


def grating(angle: float, wavelength: float, phase: float = 0.0, *, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    across = right * math.cos(angle) + down * math.sin(angle)
    return (0.5 + 0.4 * torch.cos(2 * math.pi * across / wavelength + phase))[None, None]


def front_end(height: int = HEIGHT, width: int = WIDTH, n_features: int = 8, *, rate: float = RATE) -> VisualFrontEnd:
    return VisualFrontEnd(height, width, n_features, rate)


def complex_cells(cells: VisualFrontEnd, frames: Tensor) -> Tensor:
    """Responses (B, 2 wavelengths, 4 orientations) of sustained complex cells in the middle of still frames."""
    responses = cells.responses(frames[:, None])[:, 0, : 8 * 6 * 11]
    return responses.reshape(len(frames), 2, 4, 6, 11)[..., 2:4, 4:7].mean((-2, -1))


@pytest.mark.parametrize("orientation", range(4))
@pytest.mark.parametrize(("number", "wavelength"), [(0, 4.0), (1, 7.0)])
def test_complex_cells_know_orientation_and_frequency_and_not_phase(
    orientation: int, number: int, wavelength: float
) -> None:
    angle = math.pi * orientation / 4
    shown = torch.cat([grating(angle, wavelength, phase) for phase in (0.0, 1.0, 2.0)])
    responses = complex_cells(front_end(), shown)
    assert (responses.flatten(1).argmax(1) == 4 * number + orientation).all()
    torch.testing.assert_close(responses[0], responses[1], rtol=0.15, atol=0.1)


def test_grey_says_nothing_and_light_is_not_dark() -> None:
    cells = front_end()
    grey, light, dark = (cells.responses(torch.full((1, 3, 1, HEIGHT, WIDTH), value))[0] for value in (0.5, 0.9, 0.1))
    torch.testing.assert_close(grey, torch.zeros_like(grey))
    sustained = slice(0, light.shape[1] // 2)
    on, off = light[:, sustained][:, -132:-66], light[:, sustained][:, -66:]
    assert on.min() > 1.0
    assert off.abs().max() == 0.0
    torch.testing.assert_close(dark[:, sustained][:, -66:], on)


def test_transient_cells_respond_to_change_and_sustained_ones_to_what_is_there() -> None:
    still, shown = grating(0.0, 7.0), torch.full((1, 1, HEIGHT, WIDTH), 0.5)
    clip = torch.cat([shown.expand(4, -1, -1, -1), still.expand(26, -1, -1, -1)])[None]
    responses = front_end().responses(clip)[0]
    sustained, transient = responses.chunk(2, dim=1)
    assert responses[:4].abs().max() < 1e-6, "grey before"
    size = [each.mean(1) for each in (sustained, transient)]
    assert size[0][-1] > 0.9 * size[0].max()
    assert size[1][4:7].max() == size[1].max()
    assert size[1][-1] < 0.2 * size[1].max()
    held = front_end().responses(still.expand(6, -1, -1, -1)[None])[0]
    torch.testing.assert_close(held[0], held[5], msg="the first frame is taken to have been there before")


def test_the_future_of_a_clip_changes_no_response() -> None:
    torch.manual_seed(0)
    one = torch.rand(1, 8, 1, HEIGHT, WIDTH)
    other = torch.cat([one[:, :5], torch.rand(1, 3, 1, HEIGHT, WIDTH)], dim=1)
    responses = front_end().responses(one), front_end().responses(other)
    torch.testing.assert_close(responses[0][:, :5], responses[1][:, :5])


def test_time_is_counted_in_seconds_and_not_in_frames() -> None:
    """A change that lasts as long responds as much, at twice the frame rate."""
    slow = torch.cat([torch.full((6, 1, HEIGHT, WIDTH), 0.5), grating(0.0, 7.0).expand(6, -1, -1, -1)])[None]
    fast = slow.repeat_interleave(2, dim=1)
    at_30, at_60 = front_end().responses(slow)[0, 7:], front_end(rate=60.0).responses(fast)[0, 15::2]
    assert (at_30.mean(1) - at_60.mean(1)).abs().max() < 0.2 * at_30.mean(1).max()
    assert front_end(rate=5.0).description_size < front_end().description_size, "offsets that fall together count once"


def test_components_are_those_of_the_clips_and_the_same_again() -> None:
    clips = movies(40, seed=0)
    one, again = front_end(), front_end()
    one.fit_components([clips[:15], clips[15:]])
    again.fit_components([clips[:15], clips[15:]])
    torch.testing.assert_close(again.components, one.components, rtol=0, atol=0)
    components = ((one.responses(clips) - one.centre) @ one.components).flatten(0, 1)
    torch.testing.assert_close(components.mean(0), torch.zeros(components.shape[1]), rtol=0, atol=1e-2)
    assert components.var(0, correction=0).sum().item() == pytest.approx(components.shape[1], rel=1e-2)
    covariance = torch.cov(components.T)
    assert (covariance - covariance.diag().diag()).abs().max() < 0.05 * covariance.diagonal().max()
    kept = covariance.diagonal() > 0
    assert (covariance.diagonal()[kept].diff() < 1e-3).all(), "the leading components come first"


def test_the_sign_of_a_component_is_no_accident() -> None:
    cells = front_end()
    cells.fit_components([movies(40, seed=0)])
    found = cells.components[:, cells.components.abs().sum(0) > 0]
    loadings = found * cells.responses(movies(40, seed=0)).flatten(0, 1).std(0)[:, None]
    assert len(found.T) > 5
    assert (found.gather(0, loadings.abs().argmax(0, keepdim=True)) > 0).float().mean() > 0.9


def test_cells_are_bounded_however_wide_a_frame_is() -> None:
    assert front_end(18, 900).centre.shape == front_end(18, 64).centre.shape


@pytest.mark.parametrize("n_clips", [1, 3, 20])
@pytest.mark.parametrize("repeated", [1, 7])
def test_few_clips_do_not_decide_about_others(n_clips: int, repeated: int) -> None:
    """What few movies, or copies of them with a little noise, leave undetermined must not explode on new ones."""
    seen = movies(n_clips, seed=0)
    fitted = seen.repeat(repeated, 1, 1, 1, 1)
    fitted = (fitted + torch.randn(fitted.shape, generator=torch.Generator().manual_seed(2)) / 255).clamp(0, 1)
    cells = front_end()
    cells.fit_components([fitted])
    new = torch.cat([movies(30, seed=1), torch.full((1, 8, 1, HEIGHT, WIDTH), 0.5)])
    assert cells.describe(new).abs().max() < 8 * cells.describe(seen).abs().max()


def test_features_are_the_basis_of_the_description_and_zero_beyond_it() -> None:
    cells = front_end()
    clips = movies(10, seed=0)
    cells.fit_components([clips])
    weights = torch.randn(cells.description_size, 5)
    cells.take_basis(PopulationBasis(torch.ones(cells.description_size), weights, torch.ones(5)))
    torch.testing.assert_close(cells(clips)[..., :5], (cells.describe(clips) - 1.0) @ weights, rtol=1e-4, atol=1e-4)
    assert (cells(clips)[..., 5:] == 0).all()


def pictures(count: int, *, seed: int) -> Tensor:
    """Coarse random pictures: neighbouring pixels are alike, as in nature."""
    coarse = torch.rand(count, 1, 5, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bilinear")


def movies(count: int, *, seed: int, frames: int = 8) -> Tensor:
    """Clips (count, frames, 1, H, W) that move from one coarse picture to another."""
    first, last = pictures(2 * count, seed=seed).chunk(2)
    share = torch.linspace(0, 1, frames)[:, None, None, None]
    return first[:, None] * (1 - share) + last[:, None] * share


@pytest.mark.parametrize("frames", [torch.rand(1, 1, HEIGHT, WIDTH), torch.full((9, 1, HEIGHT, WIDTH), 0.3)])
def test_frames_that_are_all_the_same_are_refused(frames: Tensor) -> None:
    with pytest.raises(ModelError, match="at least two different frames"):
        front_end().fit_components([frames[:, None]])


def test_mixed_precision_leaves_features_as_they_are() -> None:
    cells = front_end()
    clips = torch.rand(3, 4, 1, HEIGHT, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = cells(clips)
    torch.testing.assert_close(mixed, cells(clips), rtol=0, atol=0)


def test_a_larger_frame_of_the_same_picture_gives_the_same_features() -> None:
    torch.manual_seed(0)
    small, large = front_end(), front_end(2 * HEIGHT, 2 * WIDTH)
    large.load_state_dict(small.state_dict())
    clips = torch.rand(2, 4, 1, HEIGHT, WIDTH)
    enlarged = clips.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    torch.testing.assert_close(large(enlarged), small(clips), rtol=1e-4, atol=1e-5)


def test_every_pixel_has_a_finite_gradient() -> None:
    cells = front_end(36, 64)
    for clips in (torch.full((1, 3, 1, 36, 64), 0.5), torch.rand(1, 3, 1, 36, 64)):
        clips.requires_grad_()
        cells(clips).square().sum().backward()
        assert clips.grad is not None
        assert torch.isfinite(clips.grad).all()
    assert (clips.grad.abs().sum((0, 1, 2)) > 0).all()
    assert not any(parameter.requires_grad for parameter in cells.parameters())
