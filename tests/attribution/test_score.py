"""Scores against a model whose every score is known: mean and log-variance linear in the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from nwb_mivae.attribution.score import Linearised, Probes, fisher, linearise, score
from nwb_mivae.model import Gaussian

B, T, K, S = 3, 4, 2, (3, 2)


@dataclass
class Linear:
    """``mu = A x + a``, ``log sigma^2 = C x + c``, every latent at every frame reading every frame of the source."""

    to_mean: Tensor
    to_log_variance: Tensor

    @classmethod
    def drawn(cls, seed: int, *, log_variance: float = 0.3) -> Linear:
        generator = torch.Generator().manual_seed(seed)
        shape = (T, K, T, *S)
        to_mean = torch.randn(shape, generator=generator, dtype=torch.float64)
        to_log_variance = log_variance * torch.randn(shape, generator=generator, dtype=torch.float64)
        return cls(to_mean, to_log_variance)

    def __call__(self, source: Tensor) -> Gaussian:
        mean = torch.einsum("tkuhw,buhw->btk", self.to_mean, source) + 0.5
        return Gaussian(mean, torch.einsum("tkuhw,buhw->btk", self.to_log_variance, source) - 1.0)


def source(seed: int = 0) -> Tensor:
    return torch.randn(B, T, *S, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def given(number: int | None) -> Probes | None:
    return None if number is None else Probes(number, 0, range(B), 0)


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_score_is_the_closed_form_per_latent_and_summed(at_once: int) -> None:
    model, x = Linear.drawn(1), source()
    posterior = model(x)
    z = posterior.mean + torch.randn(B, T, K, generator=generator(), dtype=torch.float64)
    distance = z - posterior.mean
    expected = torch.einsum("btk,tkuhw->kbuhw", distance / posterior.variance, model.to_mean) + torch.einsum(
        "btk,tkuhw->kbuhw", 0.5 * (distance.square() / posterior.variance - 1), model.to_log_variance
    )
    with torch.no_grad():
        found = score(linearise(model, x), z, vectors_at_once=at_once)
    torch.testing.assert_close(found.total, expected.sum(0))
    torch.testing.assert_close(found.per_latent, expected.abs().sum((1, 2)))


def test_score_is_the_gradient_of_the_log_density() -> None:
    model, x = Linear.drawn(2), source()
    z = torch.randn(B, T, K, generator=generator(), dtype=torch.float64)
    moved = x.clone().requires_grad_()
    model(moved).log_density(z).sum().backward()
    with torch.no_grad():
        found = score(linearise(model, x), z, vectors_at_once=8)
    torch.testing.assert_close(found.total, moved.grad)


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_exact_fisher_is_the_closed_form_per_latent_and_summed(at_once: int) -> None:
    model, x = Linear.drawn(3), source()
    variance = model(x).variance
    expected = torch.einsum("btk,tkuhw->kbuhw", 1 / variance, model.to_mean.square())
    expected += 0.5 * model.to_log_variance.square().sum(0)[:, None]
    with torch.no_grad():
        found = fisher(linearise(model, x), probes=None, vectors_at_once=at_once)
    assert found.per_probe.shape == (1, B, T, *S)
    torch.testing.assert_close(found.per_probe[0], expected.sum(0))
    torch.testing.assert_close(found.per_latent, expected.sum((1, 2)))


def test_fisher_is_the_mean_square_of_the_score_over_the_posterior() -> None:
    model, x = Linear.drawn(4), source()
    posterior = model(x)
    draws = 1000
    squares = torch.zeros(B, T, *S, dtype=torch.float64)
    noise = generator()
    with torch.no_grad():
        linearised = linearise(model, x)
        for _ in range(draws):
            squares += score(linearised, posterior.sample(noise), vectors_at_once=K).total.square() / draws
        found = fisher(linearised, probes=None, vectors_at_once=16).per_probe[0]
    assert float((squares / found - 1).abs().mean()) < 0.08


def test_probes_average_to_the_exact_fisher_and_more_of_them_err_less() -> None:
    model, x = Linear.drawn(5), source()
    with torch.no_grad():
        linearised = linearise(model, x)
        exact = fisher(linearised, probes=None, vectors_at_once=16)
        errors = []
        for probes in (8, 800):
            found = fisher(linearised, probes=given(probes), vectors_at_once=16)
            assert found.per_probe.shape == (probes, B, T, *S)
            errors.append(float((found.per_probe.mean(0) / exact.per_probe[0] - 1).square().mean().sqrt()))
    assert errors[1] < 0.08
    assert errors[1] < 0.25 * errors[0]
    np.testing.assert_allclose(found.per_latent, exact.per_latent, rtol=0.1)


def test_spread_of_the_probes_states_their_error() -> None:
    model, x = Linear.drawn(6), source()
    with torch.no_grad():
        linearised = linearise(model, x)
        exact = fisher(linearised, probes=None, vectors_at_once=16).per_probe[0]
        probes = fisher(linearised, probes=given(32), vectors_at_once=16).per_probe
    stated = (probes.var(0) / 32).sum().sqrt()
    found = (probes.mean(0) - exact).square().sum().sqrt()
    assert 0.5 < float(stated / found) < 2.0


@pytest.mark.parametrize("probes", [None, 2])
def test_a_source_nothing_depends_on_gets_exactly_nothing(probes: int | None) -> None:
    model, x = Linear.drawn(7), source()
    for weights in (model.to_mean, model.to_log_variance):
        weights[..., 1, 0] = 0.0
    with torch.no_grad():
        linearised = linearise(model, x)
        of_score = score(linearised, torch.zeros(B, T, K, dtype=torch.float64), vectors_at_once=4)
        of_fisher = fisher(linearised, probes=given(probes), vectors_at_once=4)
    for maps in (of_score.total, of_score.per_latent, of_fisher.per_probe, of_fisher.per_latent):
        assert (maps[..., 1, 0] == 0).all()
        assert (maps[..., 0, 0] != 0).any()


def test_a_latent_is_attributed_to_what_it_alone_reads() -> None:
    model, x = Linear.drawn(8), source()
    for weights in (model.to_mean, model.to_log_variance):
        weights[:, 0, ..., 1] = 0.0
        weights[:, 1, ..., 0] = 0.0
    with torch.no_grad():
        per_latent = fisher(linearise(model, x), probes=given(2), vectors_at_once=4).per_latent
    assert (per_latent[0, :, 1] == 0).all()
    assert (per_latent[1, :, 0] == 0).all()
    assert (per_latent[0, :, 0] > 0).all()


def test_the_frame_of_a_map_is_the_frame_of_the_source() -> None:
    model, x = Linear.drawn(9), source()
    # Every latent, whatever its own frame, reads the source at its second frame only.
    for weights in (model.to_mean, model.to_log_variance):
        weights[:, :, [0, 2, 3]] = 0.0
    with torch.no_grad():
        found = fisher(linearise(model, x), probes=None, vectors_at_once=16).per_probe[0]
    assert (found[:, [0, 2, 3]] == 0).all()
    assert (found[:, 1] > 0).all()


def _probed(linearised: Linearised, clips: range, at_once: int, seed: int = 1, stream: int = 0) -> Tensor:
    return fisher(linearised, probes=Probes(3, seed, clips, stream), vectors_at_once=at_once).per_probe


def test_probes_of_a_clip_depend_on_seed_and_clip_and_not_on_what_is_done_with_it() -> None:
    model, x = Linear.drawn(10), source()
    with torch.no_grad():
        together = _probed(linearise(model, x), range(B), 100)
        for clip in range(B):
            alone = _probed(linearise(model, x[clip : clip + 1]), range(clip, clip + 1), 1)
            torch.testing.assert_close(alone, together[:, clip : clip + 1])
        assert (_probed(linearise(model, x), range(1, B + 1), 100) != together).any()
        assert (_probed(linearise(model, x), range(B), 100, seed=2) != together).any()
        assert (_probed(linearise(model, x), range(B), 100, stream=1) != together).any()
