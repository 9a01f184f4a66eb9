"""The visual front end: what its cells respond to, and the basis it takes from frames."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nwb_mivae.errors import ModelError
from nwb_mivae.model.visual_front_end import VisualFrontEnd

HEIGHT, WIDTH = 18, 32


def grating(angle: float, wavelength: float, phase: float = 0.0, *, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    across = right * math.cos(angle) + down * math.sin(angle)
    return (0.5 + 0.4 * torch.cos(2 * math.pi * across / wavelength + phase))[None, None]


def complex_cells(front_end: VisualFrontEnd, frames: Tensor) -> Tensor:
    """Responses (B, 2 wavelengths, 4 orientations) of complex cells in the middle of the frame."""
    responses = front_end.responses(frames)[:, : 8 * 6 * 11]
    return responses.reshape(len(frames), 2, 4, 6, 11)[..., 2:4, 4:7].mean((-2, -1))


@pytest.mark.parametrize("orientation", range(4))
@pytest.mark.parametrize(("number", "wavelength"), [(0, 4.0), (1, 7.0)])
def test_complex_cells_know_orientation_and_frequency_and_not_phase(
    orientation: int, number: int, wavelength: float
) -> None:
    front_end = VisualFrontEnd(HEIGHT, WIDTH, 8)
    angle = math.pi * orientation / 4
    shown = torch.cat([grating(angle, wavelength, phase) for phase in (0.0, 1.0, 2.0)])
    responses = complex_cells(front_end, shown)
    assert (responses.flatten(1).argmax(1) == 4 * number + orientation).all()
    torch.testing.assert_close(responses[0], responses[1], rtol=0.15, atol=0.1)


def test_grey_says_nothing_and_light_is_not_dark() -> None:
    front_end = VisualFrontEnd(HEIGHT, WIDTH, 8)
    grey, light, dark = (front_end.responses(torch.full((1, 1, HEIGHT, WIDTH), value)) for value in (0.5, 0.9, 0.1))
    torch.testing.assert_close(grey, torch.zeros_like(grey))
    on, off = light[0, -132:-66], light[0, -66:]
    assert on.min() > 1.0
    assert off.abs().max() == 0.0
    torch.testing.assert_close(dark[0, -66:], on)


def test_the_basis_is_that_of_the_frames_and_more_features_add_to_fewer() -> None:
    torch.manual_seed(0)
    mixing = torch.rand(6, HEIGHT * WIDTH)
    frames = (torch.rand(300, 6) @ mixing / 6).reshape(300, 1, HEIGHT, WIDTH)
    few, many = VisualFrontEnd(HEIGHT, WIDTH, 5), VisualFrontEnd(HEIGHT, WIDTH, 12)
    few.fit(frames)
    many.fit(frames)
    features = many(frames)
    torch.testing.assert_close(features.mean(0), torch.zeros(12), rtol=0, atol=1e-3)
    assert features.var(0, correction=0).sum().item() == pytest.approx(12, rel=1e-3)
    covariance = torch.cov(features.T)
    assert (covariance - covariance.diag().diag()).abs().max() < 0.02 * covariance.diagonal().max()
    assert (covariance.diagonal().diff() < 1e-3).all(), "the leading components come first"
    correlation = torch.corrcoef(torch.cat([few(frames).T, features[:, :5].T]))[:5, 5:]
    torch.testing.assert_close(correlation.diagonal().abs(), torch.ones(5), rtol=0, atol=1e-2)
    again = VisualFrontEnd(HEIGHT, WIDTH, 12)
    again.fit(frames)
    torch.testing.assert_close(again.basis, many.basis, rtol=0, atol=0)


@pytest.mark.parametrize("n_frames", [2, 5, 8, 40, 300])
@pytest.mark.parametrize("repeated", [1, 7])
def test_few_frames_do_not_decide_about_others(n_frames: int, repeated: int) -> None:
    """What few pictures, or copies of them with a little noise, leave undetermined must not explode on new ones."""
    front_end = VisualFrontEnd(HEIGHT, WIDTH, 64)
    seen = pictures(n_frames, seed=0)
    fitted = seen.repeat(repeated, 1, 1, 1)
    fitted = (fitted + torch.randn(fitted.shape, generator=torch.Generator().manual_seed(2)) / 255).clamp(0, 1)
    front_end.fit(fitted)
    known = front_end(seen).abs().max()
    new = torch.cat([pictures(100, seed=1), torch.full((1, 1, HEIGHT, WIDTH), 0.5)])
    assert front_end(new).abs().max() < 8 * known


def pictures(count: int, *, seed: int) -> Tensor:
    """Coarse random pictures: neighbouring pixels are alike, as in nature."""
    coarse = torch.rand(count, 1, 5, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bilinear")


def test_features_beyond_what_the_frames_hold_are_zero() -> None:
    front_end = VisualFrontEnd(HEIGHT, WIDTH, 20)
    front_end.fit(pictures(7, seed=0))
    assert (front_end(pictures(30, seed=1))[:, 6:] == 0).all()


@pytest.mark.parametrize("frames", [torch.rand(1, 1, HEIGHT, WIDTH), torch.full((9, 1, HEIGHT, WIDTH), 0.3)])
def test_frames_that_are_all_the_same_are_refused(frames: Tensor) -> None:
    with pytest.raises(ModelError, match="at least two different frames"):
        VisualFrontEnd(HEIGHT, WIDTH, 20).fit(frames)


def test_mixed_precision_leaves_features_as_they_are() -> None:
    front_end = VisualFrontEnd(HEIGHT, WIDTH, 8)
    frames = torch.rand(3, 1, HEIGHT, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = front_end(frames)
    torch.testing.assert_close(mixed, front_end(frames), rtol=0, atol=0)


def test_a_larger_frame_of_the_same_picture_gives_the_same_features() -> None:
    torch.manual_seed(0)
    small, large = VisualFrontEnd(HEIGHT, WIDTH, 8), VisualFrontEnd(2 * HEIGHT, 2 * WIDTH, 8)
    large.load_state_dict(small.state_dict())
    frames = torch.rand(4, 1, HEIGHT, WIDTH)
    enlarged = frames.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(large(enlarged), small(frames), rtol=1e-4, atol=1e-5)


def test_every_pixel_has_a_finite_gradient() -> None:
    front_end = VisualFrontEnd(36, 64, 8)
    for frames in (torch.full((1, 1, 36, 64), 0.5), torch.rand(1, 1, 36, 64)):
        frames.requires_grad_()
        front_end(frames).square().sum().backward()
        assert frames.grad is not None
        assert torch.isfinite(frames.grad).all()
    assert (frames.grad.abs().sum((0, 1)) > 0).all()
    assert not any(parameter.requires_grad for parameter in front_end.parameters())
