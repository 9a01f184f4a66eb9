"""Matching across modalities and the penalty on correlated blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nwb_mivae.model import Gaussian
from nwb_mivae.model.objective import cross_covariance, expected_squared_distance, matching_loss, same_stimulus


def _gaussian(seed: int, *shape: int, spread: float = 1.0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(spread * torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))


def _different(clips: int, frames: int) -> Tensor:
    return torch.arange(clips * frames).reshape(clips, frames)


def test_expected_squared_distance_is_that_of_samples() -> None:
    first, second = _gaussian(0, 3, 2, 2), _gaussian(1, 4, 2, 2)
    found = expected_squared_distance(first, second)
    assert found.shape == (3, 4)
    generator = torch.Generator().manual_seed(2)
    for i in range(3):
        for j in range(4):
            a = Gaussian(*(value[i].expand(100_000, 2, 2) for value in first)).sample(generator)
            b = Gaussian(*(value[j].expand(100_000, 2, 2) for value in second)).sample(generator)
            assert found[i, j].item() == pytest.approx((a - b).square().mean().item(), rel=0.02)


def test_expected_squared_distance_is_exact_under_mixed_precision() -> None:
    first = _gaussian(0, 5, 4, 4, spread=10.0)
    exact = expected_squared_distance(first, first)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(expected_squared_distance(first, first), exact)
        assert cross_covariance(first.mean, first.mean).item() == cross_covariance(first.mean, first.mean).item()
    torch.testing.assert_close(exact.diagonal(), 2 * first.variance.flatten(1).mean(1), rtol=1e-3, atol=1e-3)


def test_equal_pairs_are_matched_and_constant_embeddings_are_at_chance() -> None:
    gaussian = Gaussian(3 * torch.eye(8)[:, None, :], torch.full((8, 1, 8), -8.0))
    content = _different(8, 1)
    loss, matched = matching_loss(gaussian, gaussian, content, torch.tensor(3.0))
    assert matched == 1.0
    assert loss < 1e-6
    constant = Gaussian(torch.ones(8, 1, 8), torch.zeros(8, 1, 8))
    loss, matched = matching_loss(constant, constant, content, torch.tensor(3.0))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-5)
    assert matched.item() == pytest.approx(1 / 8)


def test_matching_is_the_mean_of_both_directions() -> None:
    neural, stimulus, scale = _gaussian(0, 5, 2, 3), _gaussian(1, 5, 2, 3), 1.7
    loss, matched = matching_loss(neural, stimulus, _different(5, 2), torch.tensor(scale).log())
    logits = -scale * expected_squared_distance(neural, stimulus).double().numpy()
    rows = [-logits[i, i] + np.log(np.exp(logits[i]).sum()) for i in range(5)]
    columns = [-logits[i, i] + np.log(np.exp(logits[:, i]).sum()) for i in range(5)]
    assert loss.item() == pytest.approx((np.mean(rows) + np.mean(columns)) / 2, rel=1e-4)
    assert matched.item() == pytest.approx(np.mean(logits.argmax(1) == np.arange(5)))


def test_shuffled_pairs_are_matched_worse() -> None:
    gaussian = _gaussian(0, 8, 2, 4)
    scale = torch.tensor(1.0)
    paired, _ = matching_loss(gaussian, gaussian, _different(8, 2), scale)
    shuffled = Gaussian(*(value.roll(1, 0) for value in gaussian))
    unpaired, matched = matching_loss(gaussian, shuffled, _different(8, 2), scale)
    assert unpaired > paired + 1
    assert matched < 0.5


def test_clips_of_the_same_stimulus_are_not_negatives() -> None:
    neural, stimulus = _gaussian(0, 4, 2, 3), _gaussian(1, 4, 2, 3)
    content = _different(4, 2)
    content[3] = content[0]
    loss, _ = matching_loss(neural, stimulus, content, torch.tensor(0.5))
    # The other showing of the same stimulus may lie anywhere: neither loss nor gradient knows it is there.
    mean = neural.mean.clone()
    logits = -math.exp(0.5) * expected_squared_distance(neural, stimulus).double()
    keep = [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3]]
    rows = sum(-logits[i, i] + logits[i, keep[i]].logsumexp(0) for i in range(4)) / 4
    columns = sum(-logits[i, i] + logits[keep[i], i].logsumexp(0) for i in range(4)) / 4
    assert loss.item() == pytest.approx(((rows + columns) / 2).item(), rel=1e-4)
    stimulus_mean = stimulus.mean.clone().requires_grad_()
    logits_gradient = torch.autograd.grad(
        matching_loss(
            Gaussian(mean, neural.log_variance), Gaussian(stimulus_mean, stimulus.log_variance), content,
            torch.tensor(0.5),
        )[0],
        stimulus_mean,
    )[0]  # fmt: skip
    assert torch.isfinite(logits_gradient).all()


def test_a_batch_of_one_stimulus_alone_has_no_negatives_and_no_loss() -> None:
    neural, stimulus = _gaussian(0, 3, 2, 3), _gaussian(1, 3, 2, 3)
    loss, matched = matching_loss(neural, stimulus, torch.zeros(3, 2, dtype=torch.int64), torch.tensor(1.0))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert matched == 1.0


def test_half_the_frames_make_the_same_stimulus() -> None:
    content = torch.tensor([[0, 1, 2, 3], [0, 1, 8, 9], [0, 7, 8, 6], [1, 2, 3, 0]])
    found = same_stimulus(content)
    expected = np.array([[(a == b).mean() >= 0.5 for b in content.numpy()] for a in content.numpy()])
    np.testing.assert_array_equal(found, expected)
    assert found[0, 1]
    assert not found[0, 2]


def test_cross_covariance_is_the_mean_squared_correlation() -> None:
    random = np.random.default_rng(0)
    shared = random.normal(size=(30, 8, 3)) * [0.5, 2.0, 1.0] + 4
    private = random.normal(size=(30, 8, 2))
    private[..., 0] += shared[..., 1]
    found = cross_covariance(torch.tensor(shared).float(), torch.tensor(private).float()).item()
    correlation = np.corrcoef(shared.reshape(-1, 3).T, private.reshape(-1, 2).T)[:3, 3:]
    assert found == pytest.approx((correlation**2).mean(), rel=0.02)


def test_cross_covariance_of_equal_independent_and_constant_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(400, 8, 1, generator=generator), torch.randn(400, 8, 1, generator=generator)
    assert cross_covariance(one, one).item() == pytest.approx(1.0, rel=0.01)
    assert cross_covariance(one, -3 * one).item() == pytest.approx(1.0, rel=0.01)
    assert cross_covariance(one, other).item() < 0.01
    constant = torch.ones(400, 8, 1, requires_grad=True)
    found = cross_covariance(one, constant)
    assert found.item() == pytest.approx(0.0, abs=1e-6)
    found.backward()
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


def test_cross_covariance_of_a_single_frame_is_nothing_and_not_nan() -> None:
    shared = torch.randn(1, 1, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = cross_covariance(shared, torch.ones(1, 1, 2))
    assert found.item() == 0.0
    found.backward()
    assert shared.grad is not None
    assert torch.isfinite(shared.grad).all()
