"""Subpopulations of a stored session: who belongs where, and what each one is like."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae.attribution import (
    MethodAttribution,
    SessionAttribution,
    SessionSubpopulations,
    SubpopulationConfiguration,
    find_subpopulations,
)
from nwb_mivae.clips import StoredSession
from nwb_mivae.errors import AttributionError
from tests.clip_stores import make_store

FRAMES, CELLS = 8, 60
SETTINGS = SubpopulationConfiguration(splits=6, most=5)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredSession:
    """Sixty cells, ten movies of sixteen frames shown three times each."""
    path = tmp_path_factory.mktemp("stores") / "store"
    return make_store(
        path, sessions=1, cells=(CELLS,), seconds=6.4, movie_frames=16, repeats=3, height=12, width=16, noise=0.3
    ).sessions["session-0"]


def _attribution(
    stored: StoredSession, courses: npt.NDArray[Any], *, noise: float = 0.5, clips: int | None = None, sign: float = 1.0
) -> SessionAttribution:
    """What ``attribute`` would give of all clips, where cells have time courses (N, FRAMES)."""
    random = np.random.default_rng(0)
    n_clips = clips or stored.n_frames // FRAMES
    row = np.arange(n_clips * FRAMES)
    neurons = (
        sign * np.abs(np.tile(courses.T, (n_clips, 1)) + noise * random.standard_normal((len(row), len(courses))))
    ).astype(np.float32)
    empty = np.zeros((len(row), 1, 1), dtype=np.float32)
    maps = MethodAttribution(neurons, neurons[:1], empty, empty[:1])
    return SessionAttribution(
        session=stored.key,
        methods={"fisher": maps, "score": replace(maps, neurons=-neurons)},
        time=stored.time[row],
        stop_time=stored.stop_time[row],
        row=row,
        presentation=stored.presentation[row],
        clip=np.repeat(np.arange(n_clips), FRAMES),
        weights_sha256="ab" * 32,
    )


def _planted(groups: int = 3) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    truth = np.sort(np.random.default_rng(2).integers(0, groups, CELLS))
    peaks = (np.arange(groups) + 0.5) / groups
    return truth, 1.0 + np.exp(-(((np.linspace(0, 1, FRAMES) - peaks[truth][:, None]) / 0.2) ** 2))


@pytest.fixture(scope="module")
def found(stored: StoredSession) -> SessionSubpopulations:
    return find_subpopulations(_attribution(stored, _planted()[1]), stored, configuration=SETTINGS, seed=4)


def _as_partition(labels: npt.NDArray[Any]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def test_planted_groups_are_found_with_their_profiles(found: SessionSubpopulations, stored: StoredSession) -> None:
    truth, courses = _planted()
    assert _as_partition(found.subpopulation) == _as_partition(truth)
    assert found.subpopulation.dtype == np.int32
    counts = np.bincount(found.subpopulation)
    assert (np.diff(counts) <= 0).all()
    assert found.profile.shape == (3, FRAMES)
    assert found.profile.dtype == found.confidence.dtype == np.float32
    for number, profile in enumerate(found.profile):
        cell = np.flatnonzero(found.subpopulation == number)[0]
        assert np.corrcoef(profile, courses[cell])[0, 1] > 0.95
    np.testing.assert_allclose(found.profile_time, np.arange(FRAMES) / 30.0, atol=1e-6)
    assert (found.confidence > 0.2).all()
    assert found.attribution_method == "fisher"
    assert found.weights_sha256 == "ab" * 32
    assert found.session == stored.key


def test_figures_are_those_of_each_subpopulation(found: SessionSubpopulations, stored: StoredSession) -> None:
    figures = {name: values for name, (text, values) in found.statistics.items() if text}
    assert list(figures) == [
        "stability",
        "silhouette",
        "reliability",
        "discrimination",
        "decoding",
        "decoding_chance",
        "decoding_of_shuffled",
        "decoding_p",
        "mean_x",
        "mean_y",
        "mean_z",
        "spread",
        "spread_p",
    ]
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in figures.values())
    assert (figures["stability"] > 0.8).all()
    assert (figures["reliability"] > 0.5).all()
    # Activity in this store follows the stimulus, so that showings of one clip are alike.
    assert (figures["discrimination"] > 0.2).all()
    for number in range(3):
        cells = found.subpopulation == number
        assert figures["silhouette"][number] == pytest.approx(found.confidence[cells].mean(), rel=1e-5)
        assert figures["mean_x"][number] == pytest.approx(stored.coordinates[cells, 0].mean(), rel=1e-5)
    np.testing.assert_allclose(figures["mean_z"], 150.0)
    assert found.settings["finding"].startswith("3 subpopulations: halves of the clips give the same again")
    assert found.settings["different_clips"] == 20 < found.settings["clips"]
    assert set(found.settings["stability"]) == {"2", "3", "4", "5"}


def test_activity_without_a_stimulus_discriminates_none(stored: StoredSession) -> None:
    random = np.random.default_rng(0)
    noise = replace(stored, neural=random.standard_normal(stored.neural.shape).astype(np.float32))
    found = find_subpopulations(_attribution(noise, _planted()[1]), noise, configuration=SETTINGS)
    assert (np.abs(found.statistics["discrimination"][1]) < 0.05).all()


def test_repeats_count_where_the_session_shows_them_attributed_or_not(stored: StoredSession) -> None:
    # Eight clips of the session's first showings alone; the rest of the session repeats some of them.
    attribution = _attribution(stored, _planted()[1], clips=8)
    found = find_subpopulations(attribution, stored, configuration=SETTINGS)
    assert found.settings["different_clips"] == found.settings["clips"] == 8
    assert found.settings["clips_shown_again"] == 8
    assert (found.statistics["discrimination"][1] > 0.2).all()
    unknown = stored.valid.copy()
    unknown[8 * FRAMES :] = False
    alone = replace(stored, valid=unknown)
    found = find_subpopulations(attribution, alone, configuration=SETTINGS)
    assert found.settings["clips_shown_again"] == 0
    assert np.isnan(found.statistics["discrimination"][1]).all()


def test_a_frame_that_stands_long_is_no_repeat(stored: StoredSession) -> None:
    content = np.arange(stored.n_frames)
    content[: 2 * FRAMES - 1] = 0
    standing = replace(stored, content=content)
    found = find_subpopulations(_attribution(standing, _planted()[1]), standing, configuration=SETTINGS)
    assert found.settings["clips_shown_again"] == 0


def test_without_repeats_discrimination_and_without_positions_these_are_not_known(stored: StoredSession) -> None:
    coordinates = stored.coordinates.copy()
    coordinates[:, 2] = np.nan
    coordinates[0, 0] = np.nan
    once = replace(stored, content=np.arange(stored.n_frames), coordinates=coordinates)
    found = find_subpopulations(_attribution(once, _planted()[1]), once, configuration=SETTINGS)
    assert len(found.profile) == 3
    assert np.isnan(found.statistics["discrimination"][1]).all()
    assert np.isnan(found.statistics["mean_z"][1]).all()
    assert np.isfinite(found.statistics["mean_x"][1]).all()


def test_noise_is_one_subpopulation_and_says_so(stored: StoredSession) -> None:
    found = find_subpopulations(_attribution(stored, np.zeros((CELLS, FRAMES))), stored, configuration=SETTINGS)
    assert (found.subpopulation == 0).all()
    assert found.profile.shape == (1, FRAMES)
    assert np.isnan(found.confidence).all()
    assert np.isnan(found.statistics["stability"][1]).all()
    assert abs(found.statistics["reliability"][1][0]) < 0.2
    assert found.settings["finding"].startswith("One subpopulation: no division into 2 to 5 groups")


def test_too_few_clips_cells_or_changes_are_one_subpopulation_and_say_why(stored: StoredSession) -> None:
    courses = _planted()[1]
    few_clips = find_subpopulations(_attribution(stored, courses, clips=3), stored, configuration=SETTINGS)
    assert few_clips.settings["finding"] == "One subpopulation: there are too few different clips to be halved."
    assert np.isnan(few_clips.statistics["reliability"][1]).all()
    few = replace(stored, neural=stored.neural[:, :8], coordinates=stored.coordinates[:8])
    found = find_subpopulations(_attribution(few, courses[:8]), few, configuration=SETTINGS)
    assert found.settings["finding"] == "One subpopulation: there are too few cells."
    still = find_subpopulations(_attribution(stored, np.ones((CELLS, FRAMES)), noise=0), stored, configuration=SETTINGS)
    assert still.settings["finding"] == "One subpopulation: no cell's attribution changes within a clip."
    alike = find_subpopulations(_attribution(stored, courses[[0] * CELLS], noise=0), stored, configuration=SETTINGS)
    assert alike.settings["finding"] == "One subpopulation: their time courses are too much alike to be divided."
    assert set(alike.settings["stability"].values()) == {None}
    one = SubpopulationConfiguration(splits=6, most=1)
    found = find_subpopulations(_attribution(stored, courses), stored, configuration=one)
    assert found.settings["finding"] == "One subpopulation: no more were asked for."
    for each in (few_clips, still, alike, found):
        assert (each.subpopulation == 0).all()
        assert json.dumps(each.settings, allow_nan=False)


def test_cells_the_model_does_not_use_belong_to_none(stored: StoredSession) -> None:
    attribution = _attribution(stored, _planted()[1])
    attribution.methods["fisher"].neurons[:, 5] = 0.0
    found = find_subpopulations(attribution, stored, configuration=SETTINGS)
    assert found.subpopulation[5] == -1
    assert np.isnan(found.confidence[5])
    assert (np.delete(found.subpopulation, 5) >= 0).all()
    assert found.settings["cells_grouped"] == CELLS - 1


def test_the_sign_of_the_score_does_not_matter(stored: StoredSession, found: SessionSubpopulations) -> None:
    scored = SETTINGS.model_copy(update={"attribution_method": "score"})
    same = find_subpopulations(_attribution(stored, _planted()[1]), stored, configuration=scored, seed=4)
    assert same.attribution_method == "score"
    np.testing.assert_array_equal(same.subpopulation, found.subpopulation)
    np.testing.assert_array_equal(same.profile, found.profile)
    attribution = _attribution(stored, _planted()[1])
    alone = replace(attribution, methods={"score": attribution.methods["score"]})
    assert find_subpopulations(alone, stored, configuration=SETTINGS).attribution_method == "score"


def test_the_same_seed_gives_the_same_result(stored: StoredSession, found: SessionSubpopulations) -> None:
    attribution = _attribution(stored, _planted()[1])
    again = find_subpopulations(attribution, stored, configuration=SETTINGS, seed=4)
    np.testing.assert_array_equal(again.subpopulation, found.subpopulation)
    assert again.settings == found.settings
    for name, (_, values) in found.statistics.items():
        np.testing.assert_array_equal(again.statistics[name][1], values)
    other = find_subpopulations(attribution, stored, configuration=SETTINGS, seed=5)
    assert other.settings["stability"] != found.settings["stability"]


def test_they_survive_a_file(found: SessionSubpopulations, tmp_path: Path) -> None:
    found.save(tmp_path / "a.npz")
    read = SessionSubpopulations.load(tmp_path / "a.npz")
    for name in ("subpopulation", "confidence", "profile", "profile_time"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))
        assert getattr(read, name).dtype == getattr(found, name).dtype
    for name in ("session", "method", "attribution_method", "settings", "weights_sha256"):
        assert getattr(read, name) == getattr(found, name)
    assert list(read.statistics) == list(found.statistics)
    for name, (text, values) in found.statistics.items():
        assert read.statistics[name][0] == text
        np.testing.assert_array_equal(read.statistics[name][1], values)


def test_other_files_are_refused_by_name(found: SessionSubpopulations, tmp_path: Path) -> None:
    found.save(tmp_path / "whole.npz")
    (tmp_path / "truncated.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"session": "a"}], dtype=object))
    for name in ("missing", "truncated", "text", "other", "pickle"):
        with pytest.raises(AttributionError, match="no subpopulations") as refusal:
            SessionSubpopulations.load(tmp_path / f"{name}.npz")
        assert refusal.value.file == str(tmp_path / f"{name}.npz")


def test_what_does_not_belong_together_is_refused(stored: StoredSession) -> None:
    attribution = _attribution(stored, _planted()[1])
    score_alone = replace(attribution, methods={"score": attribution.methods["score"]})
    with pytest.raises(AttributionError, match="attribution by score"):
        find_subpopulations(score_alone, stored, configuration=SubpopulationConfiguration(attribution_method="fisher"))
    for wrong in (
        replace(attribution, session="another"),
        replace(attribution, clip=np.repeat([0, 1], [FRAMES + 1, len(attribution.clip) - FRAMES - 1])),
    ):
        with pytest.raises(AttributionError, match="expected whole clips of 'session-0' with its 60 cells"):
            find_subpopulations(wrong, stored)
    with pytest.raises(AttributionError, match="an attribution of 60 cells"):
        find_subpopulations(attribution, replace(stored, neural=stored.neural[:, :5]))


def test_memory_for_many_cells_is_a_few_times_their_maps(stored: StoredSession) -> None:
    cells = 5000
    truth = np.arange(cells) % 3
    courses = np.repeat(_planted()[1][[0, 30, 59]], cells, axis=0).reshape(3, cells, FRAMES)[truth, np.arange(cells)]
    random = np.random.default_rng(0)
    many = replace(
        stored,
        neural=random.standard_normal((stored.n_frames, cells)).astype(np.float32),
        coordinates=np.zeros((cells, 3), dtype=np.float32),
    )
    attribution = _attribution(many, courses)
    size = attribution.methods["fisher"].neurons.nbytes
    tracemalloc.start()
    found = find_subpopulations(attribution, many, configuration=SETTINGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert _as_partition(found.subpopulation) == _as_partition(truth)
    # All distances between 5,000 cells alone would take 200 MB.
    assert peak < 6 * size < 120e6
