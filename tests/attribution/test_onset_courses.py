"""The attribution around onsets is that of clips, of the frames that have neighbours on either side."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from nwb_mivae.attribution import AttributionConfiguration, OnsetCourses, SubpopulationConfiguration, onset_courses
from nwb_mivae.attribution.onsets import find_onsets, has_strong_edges
from nwb_mivae.attribution.tracing import attribute_clips
from nwb_mivae.clips import ClipsConfiguration, ClipStore, Split, SplitConfiguration, StoredSession, make_split
from nwb_mivae.model import MiVAEModule, ModuleShape
from tests.clip_stores import ArrayTemplate, aligned_session, smooth_movie, write_store
from tests.tiny_model import FRAMES, HEIGHT, WIDTH, tiny_configuration

CELLS, RATE = 5, 30.0
#: Movies after grey, and movies that follow another one.
FROM_REST, CUTS = 34, 12
MOVIE, GREY = 20, 15
#: The tiny model reads a frame from up to three frames away.
EDGE = 3
BEFORE, AFTER = 6, 27


class Model(NamedTuple):
    """A module with the store and the split it is used on."""

    module: MiVAEModule
    store: ClipStore
    split: Split

    @property
    def stored(self) -> StoredSession:
        return self.store.sessions["a"]

    def changed(self, **changes: npt.NDArray[np.generic]) -> Model:
        """With the session's arrays changed."""
        return self._replace(store=replace(self.store, sessions={"a": replace(self.stored, **changes)}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    random = np.random.default_rng(0)
    grey = ArrayTemplate("grey", np.full((GREY, HEIGHT, WIDTH), 128, dtype=np.uint8))
    movies = [
        ArrayTemplate(f"movie-{number}", smooth_movie(random, MOVIE, HEIGHT, WIDTH))
        for number in range(FROM_REST + CUTS)
    ]
    showings = [0]
    for number in range(1, FROM_REST + 1):
        showings += [number, 0]
    # The first of these follows grey as well.
    showings += [FROM_REST, *range(FROM_REST + 1, FROM_REST + CUTS + 1), 0, 0]
    aligned = aligned_session("a", [grey, *movies], showings, cells=CELLS, seed=0)
    store = write_store(
        tmp_path_factory.mktemp("stores") / "store", [aligned], ClipsConfiguration(height=HEIGHT, width=WIDTH)
    )
    shape = ModuleShape(
        height=HEIGHT,
        width=WIDTH,
        n_auxiliary=store.sessions["a"].auxiliary.shape[1],
        trace_kind="dff",
        frame_rate=RATE,
        clip_frames=FRAMES,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = MiVAEModule(tiny_configuration(), shape)
    return Model(module, store, make_split(store, SplitConfiguration(held_out=0)))


@pytest.fixture(scope="module")
def found(model: Model) -> OnsetCourses:
    courses = onset_courses(model, "a")
    assert courses is not None
    return courses


def _after_grey(model: Model) -> npt.NDArray[np.int64]:
    onsets = find_onsets(model.store, model.stored)
    return onsets[model.store.blank_content[model.stored.content[onsets - 1]]]


def test_shapes_and_times_are_those_of_the_contract(model: Model, found: OnsetCourses) -> None:
    assert found.session == "a"
    assert found.values.shape == (len(found.row), BEFORE + AFTER, CELLS)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert (found.values >= 0).all()
    assert found.values.max() > 0
    np.testing.assert_allclose(found.time, np.arange(-BEFORE, AFTER) / RATE)
    np.testing.assert_array_equal(found.content, model.stored.content[found.row])
    np.testing.assert_array_equal(found.strong_edges, has_strong_edges(model.store, model.stored, found.row))
    assert set(found.strong_edges.tolist()) == {False, True}


@pytest.mark.parametrize("of", ["shared", "private"])
def test_values_are_those_of_the_inner_frames_of_clips(model: Model, of: str) -> None:
    found = onset_courses(model, "a", of=of)  # type: ignore[arg-type]
    assert found is not None
    step = FRAMES - 2 * EDGE
    starts = (found.row[:, None] + np.arange(-BEFORE, AFTER, step) - EDGE).ravel()
    settings = AttributionConfiguration.from_mapping(
        {"methods": ["gradient_x_input"], "of": of, "to": ["neurons"], "quantity": "mean", "baseline": "rest"}
    )
    clips = attribute_clips(model, "a", starts, settings, n_available=len(starts))
    maps = clips.maps("gradient_x_input").reshape(len(found.row), -1, FRAMES, CELLS)
    row = clips.row.reshape(maps.shape[:3])
    for place in range(BEFORE + AFTER):
        clip, frame = place // step, EDGE + place % step
        np.testing.assert_array_equal(row[:, clip, frame], found.row + place - BEFORE)
        np.testing.assert_allclose(found.values[:, place], np.abs(maps[:, clip, frame]), rtol=1e-4, atol=1e-7)


def test_shared_and_private_latents_have_other_courses(model: Model, found: OnsetCourses) -> None:
    private = onset_courses(model, "a", of="private")
    assert private is not None
    np.testing.assert_array_equal(private.row, found.row)
    assert not np.allclose(private.values, found.values)


def test_onsets_after_grey_are_taken_alone_where_there_are_enough(model: Model, found: OnsetCourses) -> None:
    after_grey = _after_grey(model)
    assert len(after_grey) == FROM_REST + 1
    # A cut from one movie to another that is much like it may be none.
    assert len(find_onsets(model.store, model.stored)) > FROM_REST + CUTS // 2
    np.testing.assert_array_equal(found.row, after_grey)
    assert found.n_available == FROM_REST + 1
    # Of fewer than 32, those after other pictures are taken as well.
    known = np.arange(model.stored.n_frames) >= after_grey[6]
    few = onset_courses(model.changed(valid=known), "a")
    assert few is not None
    np.testing.assert_array_equal(few.row, find_onsets(model.store, model.stored)[7:])
    assert few.n_available == len(few.row)


def test_onsets_near_gaps_and_unknown_activity_are_left_out(model: Model, found: OnsetCourses) -> None:
    # What a clip needs begins nine frames before the onset and ends 31 after it.
    first, end = BEFORE + EDGE, AFTER - 1 - EDGE + FRAMES
    unknown = found.row[1]
    for row, lacks in ((unknown - first - 1, False), (unknown - first, True), (unknown + end - 1, True)):
        valid = model.stored.valid.copy()
        valid[row] = False
        some = onset_courses(model.changed(valid=valid), "a")
        assert some is not None
        assert (unknown not in some.row) == lacks
    segment = (np.arange(model.stored.n_frames) >= unknown + end - 1).astype(np.int32)
    some = onset_courses(model.changed(segment=segment), "a")
    assert some is not None
    assert unknown not in some.row
    # The next one lies too near to the gap as well.
    np.testing.assert_array_equal(some.row, np.delete(found.row, [1, 2]))


def test_windows_that_reach_beyond_the_recording_are_left_out(model: Model) -> None:
    long = SubpopulationConfiguration(seconds_before=1.0, seconds_after=2.5)
    courses = onset_courses(model, "a", configuration=long)
    assert courses is not None
    assert courses.values.shape[1] == len(courses.time) == 30 + 75
    assert courses.row[0] - 30 - EDGE >= 0
    assert courses.row[-1] + 75 <= model.stored.n_frames
    longer = SubpopulationConfiguration(seconds_before=60.0)
    assert onset_courses(model, "a", configuration=longer) is None


def test_as_many_onsets_are_taken_as_are_wanted_or_fit_in_memory(model: Model, found: OnsetCourses) -> None:
    wanted = onset_courses(model, "a", configuration=SubpopulationConfiguration(onsets=10))
    # Seventeen clips of eight frames for each onset, of five cells, of which there are five copies of four bytes.
    memory = 12.5 * 17 * FRAMES * CELLS * 5 * 4 / 2**20
    fitting = onset_courses(model, "a", configuration=SubpopulationConfiguration(memory=memory))
    least = onset_courses(model, "a", configuration=SubpopulationConfiguration(memory=1e-6))
    for courses, number in ((wanted, 10), (fitting, 12), (least, 8)):
        assert courses is not None
        assert len(courses.row) == len(courses.values) == len(courses.strong_edges) == number
        assert courses.n_available == FROM_REST + 1
        assert set(courses.row.tolist()) <= set(found.row.tolist())
        assert (courses.row[0], courses.row[-1]) == (found.row[0], found.row[-1])


def test_a_session_with_too_few_onsets_has_none(model: Model) -> None:
    onsets = find_onsets(model.store, model.stored)
    rows = np.arange(model.stored.n_frames)
    eight = onset_courses(model.changed(valid=rows < onsets[8]), "a")
    assert eight is not None
    np.testing.assert_array_equal(eight.row, onsets[:8])
    assert onset_courses(model.changed(valid=rows < onsets[7]), "a") is None
    still = np.full(len(rows), model.stored.content[0])
    assert onset_courses(model.changed(content=still), "a") is None


def test_the_shortest_window_is_one_frame_and_the_shortest_clip_too(model: Model) -> None:
    short = SubpopulationConfiguration(seconds_before=0.0, seconds_after=0.001)
    courses = onset_courses(model, "a", configuration=short)
    assert courses is not None
    assert courses.values.shape == (FROM_REST + 1, 1, CELLS)
    np.testing.assert_array_equal(courses.time, [0.0])
    for frames in (1, 2):
        shape = replace(model.module.shape, clip_frames=frames)
        module = MiVAEModule(tiny_configuration(), shape)
        tiny = onset_courses(model._replace(module=module), "a")
        assert tiny is not None
        assert tiny.values.shape == (FROM_REST + 1, BEFORE + AFTER, CELLS)


def test_progress_is_told(model: Model) -> None:
    told: list[tuple[str, int, int]] = []
    onset_courses(model, "a", progress=lambda *each: told.append(each))
    assert told[-1][0] == "Attributing clips"
    assert told[-1][1] == told[-1][2] == (FROM_REST + 1) * 17
