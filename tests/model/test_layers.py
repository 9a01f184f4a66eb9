"""Fourier features of positions, and mixing along time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.model.layers import CoordinateFeatures, TemporalMixing, perceptron


def test_coordinate_features_are_the_sines_and_cosines_of_the_definition() -> None:
    positions = torch.tensor([[10.0, -200.0, 333.0]])
    features = CoordinateFeatures(3, 1000.0)
    found = features(positions)[0].numpy()
    expected = []
    for axis in range(3):
        phases = [2 * math.pi * 2**band * positions[0, axis].item() / 1000 for band in range(3)]
        expected += [math.sin(phase) for phase in phases] + [math.cos(phase) for phase in phases]
    np.testing.assert_allclose(found, [*expected, 1, 1, 1], atol=1e-5)
    assert features.size == len(found)


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_unknown_axes_are_zero_and_marked(known: list[bool], unknown: float) -> None:
    positions = torch.tensor(
        [[value if is_known else unknown for value, is_known in zip((5.0, 6.0, 7.0), known, strict=True)]]
    )
    features = CoordinateFeatures(2, 100.0)
    found = features(positions)[0]
    assert torch.isfinite(found).all()
    assert found[-3:].tolist() == [float(value) for value in known]
    for axis, is_known in enumerate(known):
        assert bool((found[4 * axis : 4 * axis + 4] != 0).any()) is is_known
    # An unknown axis is not the same as one at zero.
    zero = features(torch.nan_to_num(positions, 0.0, 0.0, 0.0))[0]
    assert torch.equal(found, zero) is all(known)


def test_unknown_positions_send_no_nan_back() -> None:
    positions = torch.tensor([[1.0, math.nan, 2.0]], requires_grad=True)
    CoordinateFeatures(2, 100.0)(positions).sum().backward()
    assert positions.grad is not None
    assert torch.isfinite(positions.grad).all()
    assert positions.grad[0, 1] == 0


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
def test_temporal_mixing_takes_any_number_of_frames_and_looks_only_near(frames: int) -> None:
    torch.manual_seed(0)
    mixing = TemporalMixing(3, 8, 4, blocks=2, kernel=5)
    x = torch.randn(2, frames, 3)
    out = mixing(x)
    assert out.shape == (2, frames, 4)
    changed = x.clone()
    changed[:, 0] += 1
    difference = (mixing(changed) - out).abs().amax((0, 2))
    assert difference[0] > 0
    assert (difference[5:] == 0).all()


def test_a_perceptron_has_the_sizes_it_is_given() -> None:
    assert perceptron(3, 7, 2)(torch.zeros(5, 3)).shape == (5, 2)
