"""Ridge regression from running sums: the same as in one piece, and never without an answer."""

from __future__ import annotations

import pytest
import torch

from nwb_mivae.model.regression import RegressionSums


def test_sums_in_parts_give_the_regression_of_the_whole() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(12, 7, 5) * torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0]) + 4.0
    outputs = inputs @ torch.randn(5, 3) + 0.1 * torch.randn(12, 7, 3) - 2.0
    sums = RegressionSums()
    for part in (slice(0, 5), slice(5, 12)):
        sums.add(inputs[part], outputs[part])
    x, y = (each.double().flatten(0, 1) for each in (inputs, outputs))
    torch.testing.assert_close(sums.input_mean, x.mean(0))
    torch.testing.assert_close(sums.output_mean, y.mean(0))
    centred = x - x.mean(0)
    torch.testing.assert_close(sums.gram(), centred.T @ centred)
    penalty = 0.1 * (centred.T @ centred).diagonal().mean() * torch.eye(5)
    expected = torch.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean(0)))
    torch.testing.assert_close(sums.weights(), expected)


@pytest.mark.parametrize("frames", [1, 3])
def test_too_little_to_regress_on_gives_small_weights_and_no_error(frames: int) -> None:
    sums = RegressionSums()
    sums.add(torch.ones(1, frames, 6), torch.randn(1, frames, 2))
    torch.testing.assert_close(sums.weights(), torch.zeros(6, 2, dtype=torch.float64))


def test_no_gradient_is_kept() -> None:
    sums = RegressionSums()
    sums.add(torch.randn(2, 4, 3, requires_grad=True), torch.randn(2, 4, 2))
    assert not sums.weights().requires_grad
