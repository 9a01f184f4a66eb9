"""Population encoders: the order of neurons, their number, and what is not known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nwb_mivae.model import Context, MiVAEModule
from nwb_mivae.model.configuration import Population
from nwb_mivae.model.population import SeparablePopulation
from tests.attribution.precise import draw_cortical_map
from tests.tiny_model import FRAMES, random_clips, seconds, tiny_module

_MODULES = {population: tiny_module(population=population) for population in ("contextual", "coordinates", "pooled")}


def _context(module: MiVAEModule, neural: Tensor, seed: int = 0) -> Context:
    features = torch.randn(*neural.shape[:2], 6, generator=torch.Generator().manual_seed(seed))
    return module.make_context(neural, features)


def _latents(module: MiVAEModule, clips: object, context: Context | None) -> Tensor:
    batch = clips
    posterior = module.encode_neural(batch.neural, batch.coordinates, context, batch.auxiliary)  # type: ignore[attr-defined]
    return torch.cat([*posterior.shared, *posterior.private], dim=-1)


@settings(max_examples=40, deadline=None)
@given(
    cells=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    with_context=st.booleans(),
    known=st.booleans(),
    population=st.sampled_from(["contextual", "coordinates"]),
)
@torch.no_grad()
def test_a_permutation_of_neurons_changes_no_latent(
    cells: int, seed: int, with_context: bool, known: bool, population: Population
) -> None:
    module = _MODULES[population]
    clips = random_clips(3, cells, seed=seed)
    if not known:
        clips.coordinates.fill_(torch.nan)
    order = torch.tensor(np.random.default_rng(seed).permutation(cells))
    shuffled = clips.of_cells(order)
    # The context of the shuffled file is computed from that file, not shuffled afterwards.
    context, other = (_context(module, c.neural) if with_context else None for c in (clips, shuffled))
    torch.testing.assert_close(
        _latents(module, shuffled, other), _latents(module, clips, context), rtol=2e-4, atol=2e-5
    )


@torch.no_grad()
def test_activity_of_other_neurons_than_described_does_change_the_latents() -> None:
    for population in ("contextual", "coordinates"):
        module = _MODULES[population]
        clips = random_clips(3, 20)
        context = _context(module, clips.neural) if population == "contextual" else None
        mixed = clips.neural[:, :, torch.randperm(20, generator=torch.Generator().manual_seed(0))]
        one = module.encode_neural(clips.neural, clips.coordinates, context, clips.auxiliary).shared.mean
        other = module.encode_neural(mixed, clips.coordinates, context, clips.auxiliary).shared.mean
        assert (one - other).abs().max() > 1e-2


@torch.no_grad()
def test_the_published_design_depends_on_the_order_of_neurons() -> None:
    clips = random_clips(3, 40)
    module = _MODULES["pooled"]
    one = _latents(module, clips, None)
    other = _latents(module, clips.of_cells(torch.arange(39, -1, -1)), None)
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
@pytest.mark.parametrize("cells", [1, 2, 300])
@torch.no_grad()
def test_any_number_of_neurons_is_accepted(population: Population, cells: int) -> None:
    module = _MODULES[population]
    clips = random_clips(2, cells)
    for context in (None, _context(module, clips.neural)):
        posterior = module.encode_neural(clips.neural, clips.coordinates, context, clips.auxiliary)
        assert posterior.shared.mean.shape == (2, FRAMES, 4)
        assert posterior.private.mean.shape == (2, FRAMES, 3)
        assert torch.isfinite(_latents(module, clips, context)).all()
    assert module.describe(clips.coordinates, None).shape == (cells, 16)


@pytest.mark.parametrize("population", ["contextual", "coordinates", "pooled"])
@torch.no_grad()
def test_unknown_coordinates_are_marked_and_give_no_nan(population: Population) -> None:
    module = _MODULES[population]
    clips = random_clips(2, 6)
    unknown = torch.full_like(clips.coordinates, torch.nan)
    posterior = module.encode_neural(clips.neural, unknown, None, clips.auxiliary)
    assert all(torch.isfinite(value).all() for value in (*posterior.shared, *posterior.private))
    if population != "pooled":
        described = module.describe(unknown, None)
        assert torch.equal(described, described[:1].expand_as(described))
        assert (described - module.describe(torch.zeros_like(unknown), None)).abs().max() > 1e-3


@torch.no_grad()
def test_neurons_at_one_place_are_told_apart_by_their_fingerprints_alone() -> None:
    module = _MODULES["contextual"]
    clips = random_clips(4, 5)
    unknown = torch.full_like(clips.coordinates, torch.nan)
    described = module.describe(unknown, _context(module, clips.neural))
    assert (described[0] - described[1]).abs().max() > 1e-3


@torch.no_grad()
def test_only_the_contextual_design_reads_the_context() -> None:
    for population, module in _MODULES.items():
        clips = random_clips(2, 6)
        without = _latents(module, clips, None)
        with_context = _latents(module, clips, _context(module, clips.neural))
        assert module.uses_context is (population == "contextual")
        assert torch.equal(without, with_context) is (population != "contextual")


@torch.no_grad()
def test_the_population_is_read_by_its_descriptors_over_the_root_of_its_number() -> None:
    module = _MODULES["coordinates"]
    clips = random_clips(2, 7)
    readout = module.population.readout
    descriptors = module.describe(clips.coordinates, None)
    linear, rectified = readout.weights(descriptors).chunk(2, dim=-1)  # psi(d_i) for each of the two phi
    expected = torch.zeros(2, FRAMES, 16)
    for i in range(7):
        x = clips.neural[:, :, i, None]
        expected += (x * linear[i] + torch.log1p(torch.exp(2 * x - 2)) * rectified[i]) / 7**0.5
    torch.testing.assert_close(readout(clips.neural, descriptors), expected, rtol=1e-4, atol=1e-5)


def test_features_learn_through_fingerprints_and_through_the_read_out() -> None:
    module = tiny_module()
    clips = random_clips(4, 5)
    features = torch.randn(4, FRAMES, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    context = module.make_context(clips.neural, features)
    described = module.describe(clips.coordinates, context)
    (through_fingerprints,) = torch.autograd.grad(described.square().sum(), features, retain_graph=True)
    assert through_fingerprints.abs().max() > 1e-5
    predicted = context.predict_features(clips.neural, (0, 1, 3))
    (through_read_out,) = torch.autograd.grad(predicted.square().sum(), features)
    assert through_read_out.abs().max() > 1e-5


def test_no_parameter_belongs_to_an_animal() -> None:
    for population in ("contextual", "coordinates", "pooled"):
        # Nothing about the number of neurons or animals can be said when a module is made...
        module = tiny_module(population=population)
        names = [name for name, _ in module.named_parameters()]
        sizes = [parameter.shape for parameter in module.parameters()]
        everything = [value.shape for value in module.state_dict().values()]
        # ...and use on populations of any size adds nothing.
        for cells in (3, 50):
            clips = random_clips(2, cells)
            _latents(module, clips, _context(module, clips.neural) if module.uses_context else None)
        assert [name for name, _ in module.named_parameters()] == names
        assert [parameter.shape for parameter in module.parameters()] == sizes
        assert [value.shape for value in module.state_dict().values()] == everything


@torch.no_grad()
def test_a_pooled_module_has_one_place_for_each_bin_that_the_strides_leave() -> None:
    for bins in (1, 16, 17, 256):
        module = tiny_module(population="pooled", pooled_bins=bins)
        assert torch.isfinite(_latents(module, random_clips(2, 9), None)).all()


@pytest.mark.parametrize(
    ("population", "with_context"), [("contextual", True), ("contextual", False), ("coordinates", False)]
)
@torch.no_grad()
def test_terms_of_the_read_in_are_its_derivative_by_each_neuron(population: Population, with_context: bool) -> None:
    cells = 4
    module = tiny_module(population=population, readout_offsets=seconds(-5, 0, 1))
    if module.cortical_map is not None:
        draw_cortical_map(module)
    encoder, clips = module.population, random_clips(1, cells)
    assert isinstance(encoder, SeparablePopulation)
    context = _context(module, clips.neural) if with_context else None
    jacobian = torch.func.jacrev(lambda neural: encoder.read_in(neural, clips.coordinates, context))(clips.neural)
    found = torch.zeros_like(jacobian)
    for offset, first, weights, slope in encoder.read_in_terms(clips.neural, clips.coordinates, context):
        columns = slice(first, first + weights.shape[1])
        for frame in range(FRAMES):
            source = min(max(frame + offset, 0), FRAMES - 1)
            sloped = weights if slope is None else weights * slope[0, source, :, None]
            found[0, frame, columns, 0, source] += sloped.T
    assert jacobian.abs().amax((0, 1, 3, 4, 5)).count_nonzero() >= 16
    torch.testing.assert_close(found, jacobian, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("population", ["contextual", "coordinates"])
@torch.no_grad()
def test_mixing_reaches_as_far_as_it_says(population: Population) -> None:
    module = tiny_module(population=population)
    encoder, clips = module.population, random_clips(1, 4)
    assert isinstance(encoder, SeparablePopulation)
    one = encoder.read_in(clips.neural, clips.coordinates, None).repeat(1, 4, 1)
    other = one.clone()
    other[:, 12] += 1.0
    changed = (encoder.mix(other) - encoder.mix(one)).abs().amax((0, 2)) > 0
    torch.testing.assert_close(changed.nonzero()[:, 0], torch.arange(12 - encoder.reach, 12 + encoder.reach + 1))
