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
    OnsetCourses,
    SessionAttribution,
    SessionSubpopulations,
    SubpopulationConfiguration,
    find_subpopulations,
)
from nwb_mivae.clips import StoredSession
from nwb_mivae.errors import AttributionError
from tests.clip_stores import make_store

FRAMES, CELLS = 8, 60
#: Around onsets: a fifth of a second before, nine tenths after.
ONSETS, TIME = 48, np.arange(-6, 27) / 30.0
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


#: Of fifteen cells each, those whose attribution follows onsets for a short time, as long as there is something, later,
#: and those that it does not follow.
TRANSIENT, SUSTAINED, LATE, NONE = range(4)
KINDS = np.arange(CELLS) % 4


def _around_onsets(
    stored: StoredSession, courses: npt.NDArray[Any], *, noise: float = 0.5, preference: npt.ArrayLike = 0.0
) -> OnsetCourses:
    """Courses (N, B) around onsets, ``1 + preference`` times as large where edges are strong, 1 less it elsewhere."""
    random = np.random.default_rng(3)
    strong = np.arange(ONSETS) % 2 == 1
    gain = 1 + np.where(strong, 1.0, -1.0)[:, None, None] * np.asarray(preference)
    values = gain * courses.T + noise * np.abs(random.standard_normal((ONSETS, len(TIME), len(courses))))
    return OnsetCourses(
        session=stored.key,
        values=values.astype(np.float32),
        row=10 * np.arange(ONSETS),
        content=np.arange(ONSETS),
        strong_edges=strong,
        time=TIME,
        n_available=100,
    )


def _responses() -> npt.NDArray[np.float64]:
    """By kind, what follows an onset: (4, B)."""
    after = TIME >= 0
    transient = np.where((TIME >= 0.05) & (TIME < 0.2), 1.0, 0.0)
    late = np.exp(-(((TIME - 0.6) / 0.12) ** 2))
    return np.stack([transient, after * 1.0, late, np.zeros(len(TIME))])


@pytest.fixture(scope="module")
def around_onsets(stored: StoredSession) -> OnsetCourses:
    # Transient cells prefer strong edges, sustained ones weak edges, late ones neither.
    preference = np.array([0.5, -0.5, 0.0, 0.0])[KINDS]
    return _around_onsets(stored, 0.2 + _responses()[KINDS], preference=preference)


@pytest.fixture(scope="module")
def by_onsets(stored: StoredSession, around_onsets: OnsetCourses) -> SessionSubpopulations:
    attribution = _attribution(stored, np.zeros((CELLS, FRAMES)))
    return find_subpopulations(attribution, stored, around_onsets=around_onsets, configuration=SETTINGS)


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


def _of_kind(found: SessionSubpopulations, kind: int) -> int:
    """Number of the subpopulation that most cells of a kind are in."""
    return int(np.bincount(found.subpopulation[(kind == KINDS) & (found.subpopulation >= 0)]).argmax())


def test_transient_sustained_and_late_cells_are_found_around_onsets_and_others_belong_to_none(
    by_onsets: SessionSubpopulations, around_onsets: OnsetCourses
) -> None:
    follows = KINDS != NONE
    # A twentieth of the cells that are said to follow onsets may be wrong.
    assert (by_onsets.subpopulation[~follows] == -1).mean() >= 0.8
    assert (by_onsets.subpopulation[follows] >= 0).all()
    assert _as_partition(by_onsets.subpopulation[follows]) == _as_partition(KINDS[follows])
    assert np.isnan(by_onsets.confidence[by_onsets.subpopulation < 0]).all()
    assert (by_onsets.confidence[follows] > 0.2).all()
    assert by_onsets.attribution_method == "gradient_x_input around onsets"
    assert "around onsets of the stimulus" in by_onsets.method
    np.testing.assert_array_equal(by_onsets.profile_time, TIME)
    assert by_onsets.profile.shape == (3, len(TIME))
    for kind in (TRANSIENT, SUSTAINED, LATE):
        assert np.corrcoef(by_onsets.profile[_of_kind(by_onsets, kind)], _responses()[kind])[0, 1] > 0.95
    assert len(around_onsets.row) == by_onsets.settings["onsets"] == ONSETS
    assert by_onsets.settings["onsets_available"] == 100
    assert by_onsets.settings["cells_that_follow_onsets"] == (by_onsets.subpopulation >= 0).sum()


def test_figures_around_onsets_tell_what_each_group_is_like(by_onsets: SessionSubpopulations) -> None:
    figures = {name: values for name, (_, values) in by_onsets.statistics.items()}
    assert all(values.shape == (3,) for values in figures.values())
    transient, sustained, late = (_of_kind(by_onsets, kind) for kind in (TRANSIENT, SUSTAINED, LATE))
    assert figures["sustained"][transient] == pytest.approx(0.0, abs=0.1)
    assert figures["sustained"][sustained] == pytest.approx(1.0, abs=0.1)
    # Frames at which they come to half of their peak.
    assert figures["latency"][transient] == pytest.approx(2 / 30)
    assert figures["latency"][sustained] == 0.0
    assert figures["latency"][late] == pytest.approx(0.5, abs=0.04)
    for group, preference in ((transient, 0.5), (sustained, -0.5), (late, 0.0)):
        assert figures["edge_preference"][group] == pytest.approx(preference, abs=0.1)
    assert (figures["stability"] > 0.8).all()
    assert (figures["reliability"] > 0.5).all()


def test_the_finding_says_that_time_courses_are_those_around_onsets(by_onsets: SessionSubpopulations) -> None:
    sentence = by_onsets.settings["finding"]
    follow = by_onsets.settings["cells_that_follow_onsets"]
    assert sentence.startswith("3 subpopulations: halves of the onsets give the same again")
    assert sentence.endswith(
        f"Time courses are those around {ONSETS} onsets of the stimulus; the attribution to {follow} of {CELLS} cells "
        "follows them, the others belong to no subpopulation."
    )
    json.dumps(by_onsets.settings, allow_nan=False)


def test_onsets_of_one_kind_have_no_preference_and_few_pictures_are_halved_by_showing(
    stored: StoredSession, around_onsets: OnsetCourses
) -> None:
    alike = replace(around_onsets, strong_edges=np.zeros(ONSETS, dtype=bool), content=np.arange(ONSETS) % 3)
    attribution = _attribution(stored, np.zeros((CELLS, FRAMES)))
    found = find_subpopulations(attribution, stored, around_onsets=alike, configuration=SETTINGS)
    assert len(found.profile) == 3
    assert np.isnan(found.statistics["edge_preference"][1]).all()
    assert np.isfinite(found.statistics["sustained"][1]).all()


def test_where_no_cell_follows_onsets_clips_are_compared_and_it_is_said(stored: StoredSession) -> None:
    truth, courses = _planted()
    ignores = _around_onsets(stored, np.zeros((CELLS, len(TIME))))
    found = find_subpopulations(
        _attribution(stored, courses), stored, around_onsets=ignores, configuration=SETTINGS, seed=4
    )
    assert _as_partition(found.subpopulation) == _as_partition(truth)
    assert found.attribution_method == "fisher"
    assert len(found.profile_time) == FRAMES
    assert "sustained" not in found.statistics
    assert found.settings["finding"].startswith("3 subpopulations: halves of the clips")
    assert found.settings["finding"].endswith(
        "The attribution to fewer than 5 cells follows the onsets of the stimulus, so clips were compared."
    )
    assert found.settings["cells_that_follow_onsets"] is None


def test_cells_that_answer_onsets_by_degrees_are_one_subpopulation(stored: StoredSession) -> None:
    # From transient to sustained without a gap.
    share = np.linspace(0, 1, CELLS)[:, None]
    decay = np.exp(-np.maximum(TIME, 0) / (0.1 + 0.3 * share)) * (TIME >= 0)
    found = find_subpopulations(
        _attribution(stored, np.zeros((CELLS, FRAMES))),
        stored,
        around_onsets=_around_onsets(stored, 0.2 + decay, noise=1.0),
        configuration=SETTINGS,
    )
    assert set(found.subpopulation.tolist()) <= {-1, 0}
    assert (found.subpopulation == 0).mean() > 0.9
    assert found.settings["finding"].startswith("One subpopulation: no division into 2 to 5 groups was stable")


def test_groups_whose_attribution_falls_after_onsets_have_no_rise_to_describe(stored: StoredSession) -> None:
    courses = 1.2 - _responses()[np.where(KINDS == NONE, LATE, KINDS)]
    found = find_subpopulations(
        _attribution(stored, np.zeros((CELLS, FRAMES))),
        stored,
        around_onsets=_around_onsets(stored, courses),
        configuration=SETTINGS,
    )
    assert len(found.profile) > 1
    for name in ("sustained", "latency", "edge_preference"):
        assert np.isnan(found.statistics[name][1]).all()


def test_a_group_in_one_corner_of_cortex_is_said_to_be_and_a_scattered_one_not(
    stored: StoredSession, around_onsets: OnsetCourses
) -> None:
    random = np.random.default_rng(0)
    coordinates = stored.coordinates.copy()
    coordinates[:, :2] = random.uniform(0, 500, (CELLS, 2))
    coordinates[KINDS == LATE, :2] = random.uniform(0, 60, ((KINDS == LATE).sum(), 2))
    placed = replace(stored, coordinates=coordinates)
    attribution = _attribution(stored, np.zeros((CELLS, FRAMES)))
    found = find_subpopulations(attribution, placed, around_onsets=around_onsets, configuration=SETTINGS)
    spread, p_value = (found.statistics[name][1] for name in ("spread", "spread_p"))
    late = _of_kind(found, LATE)
    middle = coordinates[KINDS == LATE, :2].mean(0)
    distance = np.linalg.norm(coordinates[KINDS == LATE, :2] - middle, axis=1).mean()
    assert spread[late] == pytest.approx(distance, rel=1e-5)
    assert p_value[late] == pytest.approx(1 / (SETTINGS.shuffles + 1))
    assert spread[late] == spread.min()
    # Without places there is nothing to say.
    coordinates = coordinates.copy()
    coordinates[KINDS == LATE] = np.nan
    found = find_subpopulations(
        attribution, replace(stored, coordinates=coordinates), around_onsets=around_onsets, configuration=SETTINGS
    )
    spread, p_value = (found.statistics[name][1] for name in ("spread", "spread_p"))
    assert np.isnan(spread[late])
    assert np.isnan(p_value[late])
    assert np.isfinite(np.delete(spread, late)).all()
    assert (np.delete(p_value, late) > 0.01).all()


@pytest.mark.parametrize("clips", [None, 3])
def test_as_many_as_are_asked_for_are_found_with_and_without_halves(stored: StoredSession, clips: int | None) -> None:
    truth, courses = _planted()
    asked = SETTINGS.model_copy(update={"number": 3})
    found = find_subpopulations(_attribution(stored, courses, clips=clips), stored, configuration=asked)
    assert found.subpopulation.max() == 2
    sentence = found.settings["finding"]
    assert sentence.startswith("3 subpopulations, as many as were asked for")
    assert ("adjusted Rand index" in sentence) == (clips is None)
    if clips is None:
        assert _as_partition(found.subpopulation) == _as_partition(truth)
    one = find_subpopulations(
        _attribution(stored, courses, clips=clips), stored, configuration=SETTINGS.model_copy(update={"number": 1})
    )
    assert one.settings["finding"].startswith("One subpopulation, as many as were asked for")


def test_fewer_than_were_asked_for_are_said_to_be(stored: StoredSession) -> None:
    asked = SETTINGS.model_copy(update={"number": 5})
    alike = find_subpopulations(_attribution(stored, np.ones((CELLS, FRAMES)), noise=0), stored, configuration=asked)
    assert alike.settings["finding"] == (
        "One subpopulation, for the 5 that were asked for: there are too few different time courses."
    )
    few = replace(stored, neural=stored.neural[:, :3], coordinates=stored.coordinates[:3])
    found = find_subpopulations(_attribution(few, _planted()[1][[0, 30, 59]]), few, configuration=asked)
    assert sorted(found.subpopulation.tolist()) == [0, 1, 2]
    assert found.settings["finding"].startswith("3 subpopulations, for the 5 that were asked for")
    # Of one cell there is no spread.
    assert np.isnan(found.statistics["spread"][1]).all()
    assert np.isnan(found.statistics["spread_p"][1]).all()


def test_one_cell_is_one_subpopulation(stored: StoredSession) -> None:
    alone = replace(stored, neural=stored.neural[:, :1], coordinates=stored.coordinates[:1])
    found = find_subpopulations(_attribution(alone, _planted()[1][:1]), alone, configuration=SETTINGS)
    np.testing.assert_array_equal(found.subpopulation, [0])
    assert found.settings["finding"] == "One subpopulation: there are too few cells."


def test_onsets_of_another_session_or_of_other_cells_are_refused(
    stored: StoredSession, around_onsets: OnsetCourses
) -> None:
    attribution = _attribution(stored, _planted()[1])
    for wrong in (
        replace(around_onsets, session="another"),
        replace(around_onsets, values=around_onsets.values[:, :, 1:]),
    ):
        with pytest.raises(AttributionError, match="expected those of 'session-0' with 60\\."):
            find_subpopulations(attribution, stored, around_onsets=wrong)
