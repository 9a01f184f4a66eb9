"""The benchmark's figures of identification on cases whose answers are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.benchmarks.alignment import identification

Array = npt.NDArray[np.float64]
FRAMES, FACTORS = 1200, 4
#: Mixes all factors into every latent, equally.
ROTATION = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
GROUPS = np.repeat(np.arange(FRAMES // 30), 30)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def factors(random: np.random.Generator) -> Array:
    return random.standard_normal((FRAMES, FACTORS))


def halves(values: Array) -> tuple[Array, Array]:
    return values[: FRAMES // 2], values[FRAMES // 2 :]


def fitted_r_squared(latents: Array, factors: Array) -> Array:
    train, test = halves(latents)
    fitted_on, scored_on = halves(factors)
    return identification.r_squared(identification.fit_map(train, fitted_on, GROUPS[: FRAMES // 2])(test), scored_on)


def test_a_mixture_of_the_factors_is_found_by_a_linear_map_and_noise_is_not(
    random: np.random.Generator, factors: Array
) -> None:
    mixture = factors @ random.standard_normal((FACTORS, 6)) + 3.0
    np.testing.assert_allclose(fitted_r_squared(mixture, factors), 1.0, atol=1e-3)
    nothing = fitted_r_squared(random.standard_normal((FRAMES, 6)), factors)
    assert np.all(np.abs(nothing) < 0.05)


def test_a_share_of_noise_is_the_share_that_is_missing(random: np.random.Generator, factors: Array) -> None:
    noisy = factors + 0.5 * random.standard_normal(factors.shape)
    np.testing.assert_allclose(fitted_r_squared(noisy, factors), 1 / 1.25, atol=0.05)


def test_folds_of_groups_do_not_let_neighbours_tell_of_each_other(random: np.random.Generator) -> None:
    """Latents that only name the movie explain what is slow in it, and nothing in another movie."""
    movie = random.standard_normal((FRAMES // 30, 30))[GROUPS]
    slow = np.repeat(random.standard_normal(FRAMES // 30), 30)[:, None]
    by_movie = identification.fit_map(movie, slow, GROUPS)
    by_frame = identification.fit_map(movie, slow, np.arange(FRAMES))
    assert np.abs(by_movie.weights).sum() < 0.2 * np.abs(by_frame.weights).sum()


def test_constant_factors_have_no_r_squared(random: np.random.Generator, factors: Array) -> None:
    constant = np.zeros((FRAMES, 1))
    assert np.isnan(identification.r_squared(constant, constant)).all()
    fitted = identification.fit_map(constant, factors, GROUPS)
    assert np.isfinite(fitted(constant)).all()


def test_products_find_what_no_linear_map_finds(random: np.random.Generator) -> None:
    latents = random.standard_normal((FRAMES, 3))
    product = latents[:, :1] * latents[:, 1:2]
    assert fitted_r_squared(latents, product)[0] < 0.05
    assert fitted_r_squared(identification.quadratic(latents), product)[0] > 0.95


def test_order_and_sign_do_not_matter_to_the_matched_correlation_but_mixing_does(
    random: np.random.Generator, factors: Array
) -> None:
    assert identification.matched_correlation(-2.0 * factors[:, [2, 0, 3, 1]], factors) == pytest.approx(1.0)
    assert identification.matched_correlation(factors @ ROTATION, factors) == pytest.approx(0.5, abs=0.1)
    assert identification.matched_correlation(factors[:, :2], factors) == pytest.approx(0.5, abs=0.05)
    assert identification.matched_correlation(random.standard_normal((FRAMES, 4)), factors) < 0.1


def test_dci_of_one_latent_per_factor_and_of_a_mixture(random: np.random.Generator, factors: Array) -> None:
    def of(latents: Array) -> identification.Disentanglement:
        (train, test), (fitted_on, scored_on) = halves(latents), halves(factors)
        return identification.dci((train, fitted_on, GROUPS[: FRAMES // 2]), (test, scored_on))

    apart = of(factors[:, [2, 0, 3, 1]])
    assert min(apart) > 0.95
    mixed = of(factors @ ROTATION)
    assert mixed.disentanglement < 0.05
    assert mixed.completeness < 0.05
    assert mixed.informativeness > 0.95


def test_dci_of_blocks_forgives_mixing_within_a_block(random: np.random.Generator, factors: Array) -> None:
    turn = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    latents = np.concatenate([factors[:, :2] @ turn, factors[:, 2:] @ turn], axis=1)
    train, test = (latents, factors, GROUPS), (latents, factors)
    single = identification.dci(train, test)
    blocks = identification.dci(train, test, latent_groups=[0, 0, 1, 1], factor_groups=[0, 0, 1, 1])
    assert single.disentanglement < 0.6
    assert blocks.disentanglement > 0.95
    assert blocks.completeness > 0.95


def test_the_leakage_matrix_shows_where_each_factor_is(random: np.random.Generator, factors: Array) -> None:
    blocks = {"shared": factors[:, :2], "private": factors[:, 2:]}
    kinds = {"stimulus": factors[:, :2], "arousal": factors[:, 3:]}
    parts = [
        {name: halves(values)[half] for name, values in each.items()} for each in (blocks, kinds) for half in (0, 1)
    ]
    found = identification.leakage(parts[0], parts[2], GROUPS[: FRAMES // 2], parts[1], parts[3])
    assert found["shared"]["stimulus"] > 0.99
    assert found["private"]["arousal"] > 0.99
    assert abs(found["shared"]["arousal"]) < 0.05
    assert abs(found["private"]["stimulus"]) < 0.05


def test_leakage_in_another_form_is_found_with_products(random: np.random.Generator, factors: Array) -> None:
    blocks = {"shared": factors}
    squares = {"arousal": factors[:, :1] ** 2}
    plain = identification.leakage(blocks, squares, GROUPS, blocks, squares)
    with_products = identification.leakage(blocks, squares, GROUPS, blocks, squares, expand=True)
    assert plain["shared"]["arousal"] < 0.1
    assert with_products["shared"]["arousal"] > 0.99


def test_likeness_of_a_rotation_of_a_part_and_of_something_else(random: np.random.Generator, factors: Array) -> None:
    groups = GROUPS[: FRAMES // 2]
    turned = identification.likeness(halves(factors), halves(factors @ ROTATION), groups)
    assert turned["one_from_other"] > 0.99
    assert turned["other_from_one"] > 0.99
    assert turned["matched_correlation"] < 0.65
    assert turned["matched_correlation_chance"] < 0.15

    part = identification.likeness(halves(factors), halves(factors[:, :2]), groups)
    assert part["one_from_other"] == pytest.approx(0.5, abs=0.1)
    assert part["other_from_one"] > 0.99

    other = identification.likeness(halves(factors), halves(random.standard_normal((FRAMES, 3))), groups)
    assert abs(other["one_from_other"]) < 0.05
