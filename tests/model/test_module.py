"""The whole module: every term of the loss, where its gradient goes, and what attribution needs of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vjp

from nwb_mivae.errors import ModelError
from nwb_mivae.model import Gaussian, LossTerms, LossWeights, MiVAEModule
from nwb_mivae.model.configuration import Population
from nwb_mivae.model.likelihoods import negative_log_likelihood
from tests.tiny_model import FRAMES, HEIGHT, WIDTH, random_clips, random_episode, tiny_module

TERMS = set(LossWeights.model_fields)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parts_with_gradient(module: MiVAEModule, value: Tensor) -> set[str]:
    named = dict(module.named_parameters())
    gradients = torch.autograd.grad(value, list(named.values()), allow_unused=True, retain_graph=True)
    return {
        name.split(".")[0]
        for name, gradient in zip(named, gradients, strict=True)
        if gradient is not None and gradient.abs().max() > 0
    }


@pytest.mark.parametrize("trace_kind", ["dff", "fluorescence", "spikes", "deconvolved", "events"])
@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
def test_every_term_is_finite_and_the_total_is_their_weighted_sum(trace_kind: str, population: Population) -> None:
    module = tiny_module(trace_kind=trace_kind, population=population)
    episodes = [
        random_episode(cells=cells, seed=seed, counts=trace_kind == "spikes") for seed, cells in ((0, 5), (1, 9))
    ]
    loss = module(episodes, _generator())
    assert set(loss.terms) == TERMS
    assert all(torch.isfinite(value) and value.ndim == 0 for value in loss.terms.values())
    weights = module.configuration.loss.model_dump()
    expected = sum(weights[name] * value.item() for name, value in loss.terms.items())
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert set(loss.figures) >= {"matched", "matching_scale", "active_units"}
    assert ("readout_penalty" in loss.figures) is (population == "contextual")
    loss.total.backward()
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_every_parameter_of_every_part_learns() -> None:
    for population in ("contextual", "coordinates", "pooled"):
        module = tiny_module(population=population)
        module.loss([random_episode(), random_episode(seed=1)], _generator()).total.backward()
        silent = {
            name
            for name, parameter in module.named_parameters()
            if parameter.grad is None or parameter.grad.abs().max() == 0
        }
        assert silent == (set() if population == "contextual" else {"context_builder.log_penalty"})


_ENCODERS = {"stimulus_encoder", "population", "neural_shared", "context_builder"}


@pytest.mark.parametrize(
    ("term", "learn", "rest"),
    [
        ("neural_reconstruction", {"neural_decoder", "neural_private", "neural_shared", "stimulus_encoder"},
         {"stimulus_decoder", "log_matching_scale"}),
        ("stimulus_reconstruction", {"stimulus_decoder", "neural_shared", "stimulus_encoder", "population"},
         {"neural_decoder", "neural_private", "prior", "log_matching_scale"}),
        ("neural_from_stimulus", {"neural_decoder", "stimulus_encoder", "prior"},
         {"neural_shared", "neural_private", "stimulus_decoder"}),
        ("stimulus_from_neural", {"stimulus_decoder", "neural_shared", "population", "context_builder"},
         {"neural_decoder", "neural_private", "prior"}),
        ("fused_from_neural", _ENCODERS, {"neural_decoder", "stimulus_decoder", "neural_private"}),
        ("fused_from_stimulus", _ENCODERS, {"neural_decoder", "stimulus_decoder", "neural_private"}),
        ("shared_symmetric", _ENCODERS, {"neural_decoder", "stimulus_decoder", "neural_private"}),
        ("neural_private", {"neural_private", "prior", "population"},
         {"neural_decoder", "stimulus_decoder", "neural_shared"}),
        ("stimulus_private", {"stimulus_encoder"}, {"population", "neural_decoder", "stimulus_decoder"}),
        ("matching", _ENCODERS | {"log_matching_scale"}, {"neural_decoder", "stimulus_decoder", "neural_private"}),
        ("cross_covariance", _ENCODERS | {"neural_private"}, {"neural_decoder", "stimulus_decoder"}),
    ],
)  # fmt: skip
def test_each_term_teaches_the_parts_it_should(term: str, learn: set[str], rest: set[str]) -> None:
    module = tiny_module()
    found = _parts_with_gradient(module, module.loss([random_episode()], _generator()).terms[term])
    assert learn <= found
    assert not rest & found


def test_features_learn_through_the_context() -> None:
    """Generating the stimulus from activity alone teaches the stimulus encoder only through fingerprint and ridge."""
    module = tiny_module()
    with_context = module.loss([random_episode()]).terms["stimulus_from_neural"]
    assert "stimulus_encoder" in _parts_with_gradient(module, with_context)
    without = module.loss([random_episode(context_clips=0)]).terms["stimulus_from_neural"]
    assert not {"stimulus_encoder", "context_builder"} & _parts_with_gradient(module, without)


@pytest.mark.parametrize("term", sorted(TERMS))
def test_a_term_of_weight_zero_is_reported_but_not_in_the_total(term: str) -> None:
    module = tiny_module(loss={term: 0.0})
    loss = module.loss([random_episode()])
    everything = tiny_module().loss([random_episode()])
    assert loss.terms[term].item() == pytest.approx(everything.terms[term].item(), rel=1e-6)
    weight = LossWeights().model_dump()[term]
    assert everything.total.item() - loss.total.item() == pytest.approx(
        weight * everything.terms[term].item(), rel=1e-3, abs=1e-5
    )


def test_a_term_of_weight_zero_spoils_nothing_where_it_is_not_a_number() -> None:
    module = tiny_module(loss={"stimulus_reconstruction": 0.0, "stimulus_from_neural": 0.0})
    with torch.no_grad():
        module.stimulus_decoder.log_variance.fill_(torch.nan)
    loss = module.loss([random_episode()])
    assert torch.isnan(loss.terms["stimulus_from_neural"])
    assert torch.isfinite(loss.total)
    loss.total.backward()
    assert module.neural_shared.weight.grad is not None
    assert torch.isfinite(module.neural_shared.weight.grad).all()


@torch.no_grad()
def test_the_terms_are_those_of_the_design() -> None:
    """Without a generator every sample is a mean, so each term can be computed by hand from the public parts."""
    module = tiny_module()
    episode = random_episode()
    target, context_clips = episode.target, episode.context
    assert context_clips is not None
    context = module.make_context(context_clips.neural, module.stimulus_features(context_clips.stimulus))
    stimulus = module.encode_stimulus(target.stimulus)
    neural = module.encode_neural(target.neural, target.coordinates, context, target.auxiliary)
    prior = module.private_prior(target.auxiliary, target.coordinates)
    fused = neural.shared.times(stimulus.shared)
    standard = Gaussian.standard(stimulus.private.mean)
    descriptors = module.describe(target.coordinates, context)

    def x(shared: Tensor, private: Tensor) -> float:
        drive, parameters = module.neural_decoder(shared, private, descriptors)
        return negative_log_likelihood("gaussian", target.neural, drive, parameters).mean().item()

    def y(shared: Tensor, private: Tensor) -> float:
        log_variance = module.stimulus_decoder.log_variance.item()
        squared = (module.decode_stimulus(shared, private) - target.stimulus).square().mean().item()
        return 0.5 * (squared * np.exp(-log_variance) + log_variance)

    expected = {
        "neural_reconstruction": x(fused.mean, neural.private.mean),
        "stimulus_reconstruction": y(fused.mean, stimulus.private.mean),
        "neural_from_stimulus": x(stimulus.shared.mean, prior.mean),
        "stimulus_from_neural": y(neural.shared.mean, standard.mean),
        "fused_from_neural": fused.divergence_from(neural.shared).mean().item(),
        "fused_from_stimulus": fused.divergence_from(stimulus.shared).mean().item(),
        "shared_symmetric": 0.5
        * (neural.shared.divergence_from(stimulus.shared) + stimulus.shared.divergence_from(neural.shared))
        .mean()
        .item(),
        "neural_private": neural.private.divergence_from(prior).mean().item(),
        "stimulus_private": stimulus.private.divergence_from(standard).mean().item(),
    }
    found = module.loss([episode]).terms
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4, abs=1e-5), name


@torch.no_grad()
def test_the_private_neural_posterior_is_the_product_with_its_prior() -> None:
    module = tiny_module()
    clips = random_clips()
    posterior = module.encode_neural(clips.neural, clips.coordinates, None, clips.auxiliary).private
    prior = module.private_prior(clips.auxiliary, clips.coordinates)
    own = Gaussian.from_parameters(
        module.neural_private(module.population(clips.neural, clips.coordinates, None))
    )  # q~, before the prior
    precision = 1 / own.variance + 1 / prior.variance
    torch.testing.assert_close(posterior.variance, 1 / precision, rtol=1e-4, atol=1e-6)
    mean = (own.mean / own.variance + prior.mean / prior.variance) / precision
    torch.testing.assert_close(posterior.mean, mean, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_order_and_number_of_neurons_change_no_loss() -> None:
    module = tiny_module()
    episode = random_episode(cells=8)
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    assert episode.context is not None
    shuffled = type(episode)(episode.target.of_cells(order), episode.context.of_cells(order))
    one, other = module.loss([episode]), module.loss([shuffled])
    for name, value in one.terms.items():
        assert other.terms[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name
    for cells in (1, 2, 300):
        assert torch.isfinite(module.loss([random_episode(clips=3, cells=cells)]).total)


@torch.no_grad()
def test_terms_are_averaged_over_episodes_but_matching_is_over_all_clips() -> None:
    module = tiny_module()
    first, second = random_episode(seed=0), random_episode(seed=1, cells=9)
    one, other, both = module.loss([first]), module.loss([second]), module.loss([first, second])
    for name in TERMS - {"matching", "cross_covariance"}:
        mean = (one.terms[name] + other.terms[name]).item() / 2
        assert both.terms[name].item() == pytest.approx(mean, rel=1e-4, abs=1e-6), name
    # Twice the negatives make matching harder.
    assert both.terms["matching"] > max(one.terms["matching"], other.terms["matching"])


def test_the_same_generator_gives_the_same_loss_and_global_state_plays_no_part() -> None:
    module = tiny_module()
    episode = random_episode()

    def total(seed: int | None, global_seed: int) -> float:
        torch.manual_seed(global_seed)
        with torch.no_grad():
            return float(module.loss([episode], None if seed is None else _generator(seed)).total)

    assert total(1, 0) == total(1, 5)
    assert total(1, 0) != total(2, 0)
    assert total(None, 0) == total(None, 5)


def _fit(module: MiVAEModule, steps: int) -> LossTerms:
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    episodes = [random_episode(clips=8)]
    for _ in range(steps):
        loss = module.loss(episodes)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    return module.loss(episodes)


def test_descending_on_the_loss_learns_to_match_a_fixed_batch() -> None:
    module = tiny_module()
    before = _fit(module, 0)
    # Matching stays on a plateau for the first 15 to 35 steps, how long is chaotic.
    after = _fit(module, 80)
    assert after.total < before.total - 0.3
    assert after.terms["matching"] < before.terms["matching"] - 0.2
    assert after.figures["matched"] > before.figures["matched"]


@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
def test_mixed_precision_keeps_terms_in_float32_and_near_the_exact_ones(population: Population) -> None:
    module = tiny_module(population=population)
    episodes = [random_episode(cells=40)]
    exact = module.loss(episodes)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module.loss(episodes)
    assert all(value.dtype == torch.float32 for value in mixed.terms.values())
    for name, value in exact.terms.items():
        assert mixed.terms[name].item() == pytest.approx(value.item(), rel=0.1, abs=0.02), name
    mixed.total.backward()
    gradients: Iterable[Tensor | None] = [parameter.grad for parameter in module.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("with_context", [True, False])
def test_jacobians_of_the_neural_posterior_are_those_of_finite_differences(with_context: bool) -> None:
    module = tiny_module().eval()
    episode = random_episode(clips=2, cells=4)
    clips = episode.target
    assert episode.context is not None
    context = None
    if with_context:
        context = module.make_context(episode.context.neural, module.stimulus_features(episode.context.stimulus))
        context = context.detach()

    def means(neural: Tensor) -> Tensor:
        return module.encode_neural(neural, clips.coordinates, context, clips.auxiliary).shared.mean[0]

    neural = clips.neural[:1]
    clips = clips.of_clips(torch.tensor([0]))
    jacobian = jacrev(means)(neural)
    assert jacobian.shape == (FRAMES, 4, 1, FRAMES, 4)
    direction = torch.randn(neural.shape, generator=_generator())
    step = 1e-2
    with torch.no_grad():
        along = (means(neural + step * direction) - means(neural - step * direction)) / (2 * step)
    torch.testing.assert_close((jacobian * direction).sum((2, 3, 4)), along, rtol=2e-2, atol=2e-3)
    value, pull_back = vjp(means, neural)
    (gradient,) = pull_back(torch.ones_like(value))
    torch.testing.assert_close(gradient, jacobian.sum((0, 1)), rtol=1e-4, atol=1e-5)


def test_jacobians_of_the_stimulus_posterior_are_those_of_finite_differences() -> None:
    module = tiny_module().eval()
    stimulus = random_clips(1).stimulus[:, :3]

    def log_variances(frames: Tensor) -> Tensor:
        return module.encode_stimulus(frames).shared.log_variance[0]

    jacobian = jacrev(log_variances)(stimulus)
    assert jacobian.shape == (3, 4, 1, 3, 1, HEIGHT, WIDTH)
    direction = torch.randn(stimulus.shape, generator=_generator())
    step = 5e-3
    with torch.no_grad():
        along = (log_variances(stimulus + step * direction) - log_variances(stimulus - step * direction)) / (2 * step)
    torch.testing.assert_close((jacobian * direction).flatten(2).sum(-1), along, rtol=3e-2, atol=3e-3)
    value, pull_back = vjp(log_variances, stimulus)
    torch.testing.assert_close(pull_back(torch.ones_like(value))[0], jacobian.sum((0, 1)), rtol=1e-4, atol=1e-5)


def test_traces_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="voltage"):
        tiny_module(trace_kind="voltage")


@torch.no_grad()
def test_a_module_without_auxiliary_variables_works() -> None:
    module = tiny_module()
    shape = type(module.shape)(**(module.shape.as_dict() | {"n_auxiliary": 0}))
    without = MiVAEModule(module.configuration, shape)
    clips = random_clips()
    posterior = without.encode_neural(clips.neural, clips.coordinates, None, clips.auxiliary[..., :0])
    assert torch.isfinite(posterior.private.mean).all()
