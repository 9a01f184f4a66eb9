from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from nwb_mivae.attribution import METHODS, AttributionConfiguration, SessionAttribution, attribute
from nwb_mivae.attribution.configuration import MethodName
from nwb_mivae.clips import ClipStore, Split, SplitConfiguration, load_clips, make_split
from nwb_mivae.errors import AttributionError, ConfigurationError
from nwb_mivae.inference import session_context
from nwb_mivae.model import Gaussian, MiVAEModule, ModuleShape, StimulusPosterior, module_digest
from tests.clip_stores import make_store
from tests.tiny_model import HEIGHT, WIDTH, tiny_configuration

FRAMES = 8
SESSION = "session-0"
EXACT = AttributionConfiguration(probes=None, clips=3, clips_at_once=2)


class Model(NamedTuple):
    """A module with the store and the split it is used on."""

    module: MiVAEModule
    store: ClipStore
    split: Split


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    path = tmp_path_factory.mktemp("stores") / "store"
    return make_store(path, sessions=2, cells=(8,), seconds=16, height=HEIGHT, width=WIDTH, movie_frames=32)


@pytest.fixture(scope="module")
def split(store: ClipStore) -> Split:
    return make_split(store, SplitConfiguration(held_out=0))


@pytest.fixture(scope="module")
def module(store: ClipStore) -> MiVAEModule:
    shape = ModuleShape(
        height=HEIGHT,
        width=WIDTH,
        n_auxiliary=store.sessions[SESSION].auxiliary.shape[1],
        trace_kind="dff",
        frame_rate=30.0,
        clip_frames=FRAMES,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MiVAEModule(tiny_configuration(), shape)


@pytest.fixture(scope="module")
def exact(module: MiVAEModule, store: ClipStore, split: Split) -> SessionAttribution:
    return attribute(Model(module, store, split), SESSION, configuration=EXACT)


def test_maps_have_the_shapes_of_the_contract_on_the_clock_of_the_session(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore
) -> None:
    n_frames = 3 * FRAMES
    stored = store.sessions[SESSION]
    for method in exact.methods.values():
        assert method.neurons.shape == (n_frames, 8)
        assert method.neurons_per_latent.shape == (4, 8)
        assert method.pixels.shape == (n_frames, HEIGHT, WIDTH)
        assert method.pixels_per_latent.shape == (4, HEIGHT, WIDTH)
        assert method.neurons.dtype == method.pixels.dtype == np.float32
        assert np.isfinite(method.neurons).all()
        assert np.isfinite(method.pixels).all()
    np.testing.assert_array_equal(exact.time, stored.time[exact.row])
    np.testing.assert_array_equal(exact.stop_time, stored.stop_time[exact.row])
    np.testing.assert_array_equal(exact.presentation, stored.presentation[exact.row])
    assert (np.diff(exact.time) > 0).all()
    assert exact.clip.tolist() == np.repeat([0, 1, 2], FRAMES).tolist()
    assert exact.settings["clips_used"] == 3 < exact.settings["clips_available"]
    assert json.dumps(exact.settings, allow_nan=False)
    assert exact.weights_sha256 == module_digest(module)


def test_score_is_the_gradient_of_one_modality_at_the_others_mean(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    start = exact.row[:1]
    batch = load_clips(store, split, SESSION, start, n_frames=FRAMES)
    with torch.no_grad():
        context = session_context(module, store, split, SESSION)
    neural = batch.neural.clone().requires_grad_()
    stimulus = batch.stimulus.clone().requires_grad_()
    of_neural = module.encode_neural(neural, batch.coordinates, context, batch.auxiliary).shared
    of_stimulus = module.encode_stimulus(stimulus).shared
    of_neural.log_density(of_stimulus.mean.detach()).sum().backward(inputs=[neural])
    of_stimulus.log_density(of_neural.mean.detach()).sum().backward(inputs=[stimulus])
    score = exact.methods["score"]
    np.testing.assert_allclose(score.neurons[:FRAMES], neural.grad[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(score.pixels[:FRAMES], stimulus.grad[0, :, 0], rtol=1e-3, atol=1e-4)


def test_fisher_is_not_negative_and_its_latents_add_up_to_it(exact: SessionAttribution) -> None:
    fisher = exact.methods["fisher"]
    for source in ("neurons", "pixels"):
        frames = getattr(fisher, source).astype(np.float64)
        per_latent = getattr(fisher, f"{source}_per_latent").astype(np.float64)
        assert (frames >= 0).all()
        np.testing.assert_allclose((frames**2).mean(0), (per_latent**2).sum(0), rtol=1e-4)


def test_probes_agree_with_the_exact_fisher_within_the_error_they_state(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    assert exact.settings["fisher_relative_standard_error"] is None
    probed = attribute(
        Model(module, store, split), SESSION, configuration=EXACT.model_copy(update={"probes": 16}), seed=3
    )
    for source in ("neurons", "pixels"):
        truth = getattr(exact.methods["fisher"], source).astype(np.float64)
        found = getattr(probed.methods["fisher"], source).astype(np.float64)
        stated = probed.settings["fisher_relative_standard_error"][source]
        error = np.sqrt(((found**2 - truth**2) ** 2).sum() / (truth**4).sum()) / 2
        assert 0.3 * stated < error < 3 * stated
        assert error < 0.2
    np.testing.assert_array_equal(probed.methods["score"].neurons, exact.methods["score"].neurons)


def test_the_same_seed_draws_the_same_probes(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    settings = AttributionConfiguration(methods=("fisher",), clips=1, probes=2)
    one, same, other = (
        attribute(Model(module, store, split), SESSION, configuration=settings, seed=s) for s in (1, 1, 2)
    )
    assert list(one.methods) == ["fisher"]
    np.testing.assert_array_equal(one.methods["fisher"].pixels, same.methods["fisher"].pixels)
    assert (one.methods["fisher"].pixels != other.methods["fisher"].pixels).any()


def test_what_is_done_together_changes_no_figure(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    settings = AttributionConfiguration(clips=3, probes=3)
    one = attribute(Model(module, store, split), SESSION, configuration=settings, seed=1)
    for change in ({"clips_at_once": 2, "vectors_at_once": 2}, {"memory": 0.01}):
        other = attribute(
            Model(module, store, split), SESSION, configuration=settings.model_copy(update=change), seed=1
        )
        for method, maps in one.methods.items():
            for source in ("neurons", "pixels", "neurons_per_latent", "pixels_per_latent"):
                found, expected = getattr(other.methods[method], source), getattr(maps, source)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_neurons_in_another_order_are_attributed_in_that_order(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nwb_mivae.attribution.tracing as room

    order = np.random.default_rng(0).permutation(8)

    def loaded(*arguments: object, **more: object) -> object:
        return load_clips(*arguments, **more).of_cells(torch.as_tensor(order))  # type: ignore[arg-type]

    def context(*arguments: object, **more: object) -> object:
        made = session_context(*arguments, **more)  # type: ignore[arg-type]
        assert made is not None
        return made.of_cells(torch.as_tensor(order))

    monkeypatch.setattr(room, "load_clips", loaded)
    monkeypatch.setattr(room, "session_context", context)
    permuted = attribute(Model(module, store, split), SESSION, configuration=EXACT)
    for method, maps in exact.methods.items():
        found = permuted.methods[method]
        np.testing.assert_allclose(found.neurons, maps.neurons[:, order], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.pixels, maps.pixels, rtol=1e-3, atol=1e-5)


def test_pixels_the_encoder_is_blind_to_get_nothing(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    blind = MiVAEModule(module.configuration, module.shape)
    blind.load_state_dict(module.state_dict())
    encode = blind.encode_stimulus
    mask = torch.ones(HEIGHT, WIDTH)
    mask[:, : WIDTH // 2] = 0.0
    blind.encode_stimulus = lambda stimulus: encode(stimulus * mask)  # type: ignore[method-assign]
    found = attribute(Model(blind, store, split), SESSION, configuration=AttributionConfiguration(clips=1, probes=2))
    for maps in found.methods.values():
        assert (maps.pixels[:, :, : WIDTH // 2] == 0).all()
        assert (maps.pixels[:, :, WIDTH // 2 :] != 0).any()


def test_context_changes_the_attribution_and_can_be_left_out(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    without = attribute(Model(module, store, split), SESSION, configuration=EXACT.model_copy(update={"context": False}))
    assert without.settings["context_frames"] == 0 < exact.settings["context_frames"]
    assert (without.methods["fisher"].neurons != exact.methods["fisher"].neurons).any()


def test_the_module_is_left_as_it_was_and_progress_is_told(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    told: list[tuple[int, int]] = []
    module.train()
    settings = AttributionConfiguration(methods=("score",), clips=3, clips_at_once=2, part="validation")
    attribute(
        Model(module, store, split),
        SESSION,
        configuration=settings,
        progress=lambda _, done, total: told.append((done, total)),
    )
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    module.eval()
    assert told == [(0, 3), (2, 3), (3, 3)]


def test_what_cannot_be_attributed_is_refused(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    with pytest.raises(AttributionError, match="no session 'nobody'"):
        attribute(Model(module, store, split), "nobody")
    part = split.part_of_content.copy()
    part[part == 2] = 0
    with pytest.raises(AttributionError, match="in the test part"):
        attribute(Model(module, store, dataclasses.replace(split, part_of_content=part)), SESSION)


def test_derivatives_that_are_not_finite_are_refused(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    broken = MiVAEModule(module.configuration, module.shape)
    broken.load_state_dict(module.state_dict())
    with torch.no_grad():
        broken.neural_shared.weight.fill_(torch.nan)
    with pytest.raises(AttributionError, match="not a finite number"):
        attribute(Model(broken, store, split), SESSION, configuration=AttributionConfiguration(clips=1))


def test_what_is_asked_for_by_name_goes_before_the_configuration(
    exact: SessionAttribution, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    model = Model(module, store, split)
    found = attribute(model, SESSION, to="pixels", method="fisher", latents=[2, 0], configuration=EXACT)
    assert list(found.methods) == ["fisher"]
    fisher = found.methods["fisher"]
    assert fisher.neurons.shape == (3 * FRAMES, 0)
    assert fisher.neurons_per_latent.shape == (2, 0)
    np.testing.assert_allclose(
        fisher.pixels_per_latent, exact.methods["fisher"].pixels_per_latent[[2, 0]], rtol=1e-4, atol=1e-6
    )
    with pytest.raises(AttributionError, match="no attribution by fisher to neurons"):
        found.maps("fisher", "neurons")
    assert found.settings["configuration"]["latents"] == [2, 0]


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_every_latent_makes_up_the_total(
    method: MethodName, module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    settings = EXACT.model_copy(update={"by_latent": True, "clips": 2})
    found = attribute(Model(module, store, split), SESSION, method=method, configuration=settings)
    maps = found.methods[method]
    for source in ("neurons", "pixels"):
        total, each = getattr(maps, source), getattr(maps, f"{source}_by_latent").astype(np.float64)
        assert each.shape == (4, *total.shape)
        together = each.sum(0) if maps.signed else np.sqrt((each**2).sum(0))
        np.testing.assert_allclose(total, together, rtol=1e-3, atol=1e-5 * np.abs(total).max())
        summary = {
            "score": np.abs(each).mean(1),
            "gradient": np.abs(each).mean(1),
            "fisher": np.sqrt((each**2).mean(1)),
        }
        np.testing.assert_allclose(
            getattr(maps, f"{source}_per_latent"),
            summary.get(method, each.mean(1)),
            rtol=1e-3,
            atol=1e-5 * np.abs(each).max(),
        )
    assert maps.signed == (method not in ("fisher", "gradient"))


def test_evidence_of_a_clip_is_divided_among_neurons_and_among_pixels(
    module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    settings = EXACT.model_copy(update={"path_steps": 64})
    found = attribute(Model(module, store, split), SESSION, method="integrated_gradients", configuration=settings)
    assert found.settings["divided"] == "evidence"
    start = found.row[::FRAMES]
    batch = load_clips(store, split, SESSION, start, n_frames=FRAMES)
    with torch.no_grad():
        context = session_context(module, store, split, SESSION)

        def neural(values: torch.Tensor) -> Gaussian:
            return module.encode_neural(values, batch.coordinates, context, batch.auxiliary).shared

        def stimulus(values: torch.Tensor) -> Gaussian:
            return module.encode_stimulus(values).shared

        cases = (
            ("neurons", neural, stimulus(batch.stimulus).mean, batch.neural),
            ("pixels", stimulus, neural(batch.neural).mean, batch.stimulus),
        )
        for source, encode, estimate, values in cases:
            baseline = values.mean((0, 1)).expand_as(values)
            squares = estimate.square().mean((0, 1))
            log_densities = [
                (
                    encode(given).log_density(estimate)
                    + 0.5
                    * torch.exp(-encode(given).log_variance)
                    * (squares - 2 * estimate.mean((0, 1)) * encode(given).mean + encode(given).mean.square())
                    + 0.5 * encode(given).log_variance
                ).sum((1, 2))
                for given in (values, baseline)
            ]
            expected = log_densities[0] - log_densities[1]
            sums = found.maps("integrated_gradients", source).reshape(3, FRAMES, -1).sum((1, 2))
            np.testing.assert_allclose(sums, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
            assert found.settings["integrated_gradients_relative_gap"][source] < 0.02


def test_private_latents_are_traced_to_their_own_modality(module: MiVAEModule, store: ClipStore, split: Split) -> None:
    model = Model(module, store, split)
    methods = ["fisher", "gradient", "integrated_gradients"]
    found = attribute(model, SESSION, of="private", method=methods, configuration=EXACT)
    assert found.methods["fisher"].neurons_per_latent.shape == (3, 8)
    assert found.methods["fisher"].pixels_per_latent.shape == (5, HEIGHT, WIDTH)
    assert found.settings["divided"] == "mean"
    assert not found.methods["integrated_gradients"].signed
    for refused in ({"method": "score"}, {"configuration": EXACT.model_copy(update={"quantity": "evidence"})}):
        with pytest.raises(ConfigurationError, match="private latents have none"):
            attribute(model, SESSION, of="private", **{"method": "occlusion", **refused})  # type: ignore[arg-type]
    with pytest.raises(AttributionError, match="0 to 2, the private neural latents"):
        attribute(model, SESSION, of="private", to="neurons", method="fisher", latents=[3])


def test_an_occluded_cell_is_worth_what_the_evidence_loses_without_it(
    module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    model = Model(module, store, split)
    settings = EXACT.model_copy(update={"baseline": "zero"})
    whole = attribute(model, SESSION, to="neurons", method="occlusion", configuration=settings)
    by_clip = whole.maps("occlusion").reshape(3, FRAMES, 8)
    assert (by_clip == by_clip[:, :1]).all()
    parts = settings.model_copy(update={"occlusion_frames": 2})
    found = attribute(model, SESSION, to="neurons", method="occlusion", configuration=parts).maps("occlusion")
    pairs = found.reshape(3, FRAMES // 2, 2, 8)
    assert (pairs[:, :, 0] == pairs[:, :, 1]).all()
    assert (pairs[:, 0, 0] != pairs[:, 1, 0]).any()


def test_probes_follow_from_seed_clip_source_and_latent_alone(
    module: MiVAEModule, store: ClipStore, split: Split
) -> None:
    model = Model(module, store, split)
    settings = AttributionConfiguration(methods=("fisher",), clips=3, probes=2, by_latent=True, of="private")
    both = attribute(model, SESSION, configuration=settings, seed=5).methods["fisher"]
    for changes in ({"to": ("pixels",)}, {"to": ("pixels", "neurons")}, {"methods": ("gradient", "fisher")}):
        other = attribute(model, SESSION, configuration=settings.model_copy(update=changes), seed=5).methods["fisher"]
        np.testing.assert_allclose(other.pixels, both.pixels, rtol=1e-4, atol=1e-6)
    some = attribute(model, SESSION, latents=[2, 0], to="neurons", configuration=settings, seed=5)
    assert both.neurons_by_latent is not None
    np.testing.assert_allclose(
        some.methods["fisher"].neurons_by_latent, both.neurons_by_latent[[2, 0]], rtol=1e-4, atol=1e-6
    )
    assert some.latents == [2, 0]
    assert attribute(model, SESSION, to="pixels", configuration=settings).latents == [0, 1, 2, 3, 4]


def test_only_what_is_needed_is_encoded(
    module: MiVAEModule, store: ClipStore, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = module.encode_stimulus

    def counted(stimulus: torch.Tensor) -> StimulusPosterior:
        encoded.append(len(stimulus))
        return encode(stimulus)

    monkeypatch.setattr(module, "encode_stimulus", counted)
    settings = EXACT.model_copy(update={"context": False})
    for method in ("fisher", "gradient"):
        attribute(Model(module, store, split), SESSION, to="neurons", method=method, configuration=settings)
    assert not encoded
    attribute(Model(module, store, split), SESSION, to="neurons", method="score", configuration=settings)
    assert encoded


@pytest.mark.parametrize("twice", [{"method": ["fisher", "fisher"]}, {"to": ["neurons"] * 2}, {"latents": [1, 1]}])
def test_nothing_is_named_twice(twice: dict[str, Any], module: MiVAEModule, store: ClipStore, split: Split) -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        attribute(Model(module, store, split), SESSION, **twice)
