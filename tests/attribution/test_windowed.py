from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nwb_mivae.attribution.windowed import windowed_jacobian
from nwb_mivae.model import Gaussian

LATENTS, SIZE = 2, 3


@pytest.mark.parametrize("vectors", [1, 3, 100])
@pytest.mark.parametrize("reach", [0, 1, 3])
@pytest.mark.parametrize("frames", [1, 2, 7, 12])
@torch.no_grad()
def test_every_derivative_within_reach_is_where_it_is_said_to_be(frames: int, reach: int, vectors: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2, frames, LATENTS, frames, SIZE, generator=generator, dtype=torch.float64)
    apart = (torch.arange(frames)[:, None] - torch.arange(frames)).abs()
    weights *= (apart <= reach)[:, None, :, None]

    def posterior(source: Tensor) -> Gaussian:
        return Gaussian(*torch.einsum("htksp,bsp->hbtk", weights, source))

    source = torch.randn(2, frames, SIZE, generator=generator, dtype=torch.float64)
    found = windowed_jacobian(posterior, source, reach, vectors_at_once=vectors)
    scale = torch.exp(-0.5 * posterior(source).log_variance)
    assert found.shape == (2, frames, 2 * reach + 1, 2 * LATENTS, SIZE)
    for at in range(frames):
        for number in range(2 * reach + 1):
            t = at + number - reach
            if 0 <= t < frames:
                means = scale[:, t, :, None] * weights[0, t, :, at]
                expected = torch.cat([means, (0.5**0.5 * weights[1, t, :, at]).expand_as(means)], dim=1)
                torch.testing.assert_close(found[:, at, number], expected)
            else:
                assert (found[:, at, number] == 0).all()
