"""Groups by time course: found where they were planted, none where there are none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.attribution.clustering import Clustering, adjusted_rand_index, cluster, silhouettes, standardised

BINS, CLIPS = 16, 40


def _clustered(
    base: npt.NDArray[np.float64],
    *,
    noise: float = 1.0,
    seed: int = 0,
    most: int = 6,
    number: int | None = None,
) -> Clustering:
    """Groups of cells with courses ``base`` (N, BINS) that noise is added to anew in every clip."""
    random = np.random.default_rng(seed)
    clips = base + noise * random.standard_normal((CLIPS, *base.shape))
    halves = []
    for _ in range(6):
        order = random.permutation(CLIPS)
        halves.append(tuple(standardised(clips[part].mean(0)) for part in (order[::2], order[1::2])))
    return cluster(standardised(clips.mean(0)), halves, most=most, random=random, number=number)  # type: ignore[arg-type]


def _peaks(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.exp(-(((np.linspace(0, 1, BINS) - times[:, None]) / 0.12) ** 2)))


@pytest.mark.parametrize(("groups", "cells"), [(2, 40), (3, 30), (3, 150), (5, 150)])
def test_planted_groups_are_found_and_as_many(groups: int, cells: int) -> None:
    truth = np.random.default_rng(1).integers(0, groups, cells)
    found = _clustered(_peaks((truth + 0.5) / groups))
    assert found.labels.max() + 1 == groups
    assert adjusted_rand_index(truth, found.labels) > 0.95
    assert (found.group_stability > 0.9).all()
    assert found.group_stability.shape == (groups,)
    assert found.stability[groups] > 0.9
    assert (np.diff(np.bincount(found.labels)) <= 0).all()


def test_a_small_group_is_found_beside_a_large_one() -> None:
    truth = (np.arange(150) < 30).astype(int)
    found = _clustered(_peaks(np.where(truth, 0.65, 0.3)))
    assert adjusted_rand_index(truth, found.labels) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_groups(seed: int) -> None:
    found = _clustered(np.zeros((120, BINS)), seed=seed)
    assert (found.labels == 0).all()
    assert np.isnan(found.group_stability).all()
    assert max(found.stability.values()) < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_cells_that_differ_reliably_but_by_degrees_are_no_groups(seed: int) -> None:
    random = np.random.default_rng(seed)
    # One cloud in a few dimensions that noise leaves well visible: its halves agree on where to cut it.
    base = random.standard_normal((200, 3)) @ random.standard_normal((3, BINS))
    found = _clustered(base, noise=0.5, seed=seed)
    assert max(found.stability.values()) > 0.6
    assert (found.labels == 0).all()


def test_few_cells_no_halves_or_nothing_that_varies_are_one_group() -> None:
    assert (_clustered(_peaks(np.repeat([0.2, 0.8], 4))).labels == 0).all()
    random = np.random.default_rng(0)
    assert (cluster(np.zeros((50, BINS)), [], most=4, random=random).labels == 0).all()
    still = np.zeros((50, BINS))
    assert (cluster(still, [(still, still)], most=4, random=random).labels == 0).all()


def test_cells_that_are_exactly_alike_are_not_said_to_be_more_groups_than_they_are() -> None:
    truth = np.arange(60) % 3
    found = _clustered(_peaks((truth + 0.5) / 3), noise=0.0, most=8)
    assert adjusted_rand_index(truth, found.labels) == 1.0
    assert found.stability[3] == 1.0
    for number in range(4, 9):
        assert np.isnan(found.stability[number])
        assert np.isnan(found.separation[number])
    same = _clustered(_peaks(np.full(60, 0.5)), noise=0.0)
    assert (same.labels == 0).all()
    assert np.isnan([*same.stability.values()]).all()


def test_more_cells_than_are_compared_are_all_grouped() -> None:
    truth = np.random.default_rng(0).integers(0, 3, 1300)
    found = _clustered(_peaks((truth + 0.5) / 3), most=4)
    assert len(found.labels) == 1300
    assert adjusted_rand_index(truth, found.labels) > 0.95


def _nested(cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Two groups that peak near to one another, and one far away."""
    truth = np.arange(cells) % 3
    return truth, 3 * _peaks(np.array([0.2, 0.32, 0.85]))[truth]


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_lie_close_to_one_another_are_found_by_dividing_further(seed: int) -> None:
    truth, base = _nested(150)
    found = _clustered(base, seed=seed)
    assert adjusted_rand_index(truth, found.labels) > 0.9
    assert found.group_stability.shape == (3,)
    assert (found.group_stability > 0.8).all()
    assert (np.diff(np.bincount(found.labels)) <= 0).all()


def test_groups_within_groups_are_divided_as_far_as_they_go_and_no_more_than_allowed() -> None:
    # Two far apart, of two near to one another each: the first division is in two.
    truth = np.arange(200) % 4
    base = 4 * _peaks(np.array([0.2, 0.28, 0.75, 0.83]))[truth]
    found = _clustered(base, noise=0.5)
    assert (found.first_division, found.divided_again) == (2, 2)
    assert adjusted_rand_index(truth, found.labels) > 0.95
    assert (found.group_stability > 0.9).all()
    for most, number in ((1, 1), (2, 2), (3, 3)):
        assert _clustered(base, noise=0.5, most=most).labels.max() + 1 == number


def test_a_cell_that_is_like_no_other_makes_no_group() -> None:
    base = np.repeat(_peaks(np.array([0.3])), 60, axis=0)
    base[7] = 3 * _peaks(np.array([0.8]))
    assert (_clustered(base).labels == 0).all()
    # Beside two groups it belongs to one of them.
    truth = np.arange(60) % 2
    base = _peaks(np.array([0.2, 0.8]))[truth]
    base[7] = 3 * _peaks(np.array([0.5]))
    found = _clustered(base)
    assert found.labels.max() == 1
    assert adjusted_rand_index(np.delete(truth, 7), np.delete(found.labels, 7)) > 0.9


@pytest.mark.parametrize("cells", [12, 90, 700])
@pytest.mark.parametrize("number", [1, 2, 5, 10])
def test_as_many_groups_as_are_asked_for_are_given(cells: int, number: int) -> None:
    found = _clustered(_nested(cells)[1], number=number)
    assert len(np.unique(found.labels)) == found.labels.max() + 1 == number
    assert found.group_stability.shape == (number,)
    assert (np.diff(np.bincount(found.labels)) <= 0).all()
    assert found.divided_again == 0
    assert list(found.stability) == ([number] if number > 1 else [])


def test_as_many_groups_as_are_asked_for_are_given_without_halves_and_never_more_than_cells() -> None:
    random = np.random.default_rng(0)
    courses = standardised(_nested(30)[1] + 0.3 * random.standard_normal((30, BINS)))
    found = cluster(courses, [], most=8, random=random, number=3)
    np.testing.assert_array_equal(np.bincount(found.labels), [10, 10, 10])
    assert np.isnan(found.group_stability).all()
    assert found.stability == found.separation == found.cloud_separation == {}
    assert cluster(courses[:4], [], most=8, random=random, number=9).labels.tolist() == [0, 1, 2, 3]
    assert cluster(courses[:1], [], most=8, random=random, number=9).labels.tolist() == [0]
    # Cells that are the same cannot be told apart.
    same = np.repeat(courses[:2], 5, axis=0)
    assert len(np.unique(cluster(same, [(same, same)], most=8, random=random, number=3).labels)) == 2


_labels = st.lists(st.integers(0, 3), min_size=2, max_size=30)


@given(_labels, st.data())
@settings(max_examples=50, deadline=None)
def test_the_adjusted_rand_index_is_that_of_others(one: list[int], data: st.DataObject) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    other = data.draw(st.lists(st.integers(0, 3), min_size=len(one), max_size=len(one)))
    found = adjusted_rand_index(np.array(one), np.array(other))
    assert found == pytest.approx(metrics.adjusted_rand_score(one, other))


def test_the_adjusted_rand_index_of_known_partitions() -> None:
    one = np.array([0, 0, 0, 1, 1, 1])
    assert adjusted_rand_index(one, 1 - one) == 1.0
    # 2 pairs are together in both, 6 in the one, 3 in the other, of 15 (Hubert and Arabie 1985).
    assert adjusted_rand_index(one, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(
        (2 - 6 * 3 / 15) / (4.5 - 6 * 3 / 15)
    )
    assert adjusted_rand_index(one, np.zeros(6, dtype=np.int64)) == 0.0


def test_silhouettes_are_those_of_others_in_blocks() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    courses, labels = random.standard_normal((70, BINS)), random.integers(0, 4, 70)
    labels[labels == 3] = 0
    labels[5] = 3
    found = silhouettes(courses, labels, cells_at_once=16)
    np.testing.assert_allclose(found, metrics.silhouette_samples(courses, labels), rtol=1e-9)
    assert np.isnan(silhouettes(courses, np.zeros(70, dtype=np.int64))).all()


def test_standardised_courses_keep_their_form_alone_and_constant_ones_have_none() -> None:
    courses = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [0.1 + 1e-17, 0.1, 0.1], [0.0, 0.0, 0.0]])
    found = standardised(courses)
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[:2].std(1), 1.0)
    assert (found[2:] == 0).all()
