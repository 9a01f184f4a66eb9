"""Every reason not to conclude something is given, and none where there is no reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nwb_mivae.attribution import SessionAttribution, SessionStimulusRegions, SessionSubpopulations
from nwb_mivae.report.conclusions import conclusions, why_groups_are_weak
from tests.report.attributed import S, attribution, stimulus_regions, subpopulations


def made(*, to: tuple[str, ...] = ("neurons", "pixels"), **settings: Any) -> SessionAttribution:
    found = attribution(np.random.default_rng(0), 48, 5, ("fisher",), to, "shared")
    return replace(found, settings={**found.settings, **settings})


def regions(**changes: Any) -> SessionStimulusRegions:
    return replace(stimulus_regions(np.random.default_rng(0)), **changes)


def doubts(
    found: SessionAttribution, tested: SessionStimulusRegions | None, *, cells: int = 200, clips: int = 40
) -> str:
    given = conclusions(found, tested, cells=cells, different_clips=clips)
    return " ".join(text for kind, text in given if kind == "doubt")


def words(found: SessionAttribution, *, cells: int = 200, clips: int = 6) -> str:
    return " ".join(text for _, text in conclusions(found, regions(), cells=cells, different_clips=clips))


def test_what_always_holds_is_always_said() -> None:
    text = words(made())
    for sentence in ("what the model uses", "context is held fixed", "first and after its last frame", "Stability"):
        assert sentence in text
    assert "Cells were read without context" in words(made(context_frames=0))


def test_without_a_reason_there_is_no_doubt() -> None:
    assert doubts(made(), regions()) == ""


@pytest.mark.parametrize(("cells", "doubtful"), [(49, True), (50, False)])
def test_few_cells_allow_no_subpopulations(cells: int, doubtful: bool) -> None:
    text = doubts(made(), regions(), cells=cells)
    assert ("49 cells, fewer than 50: no subpopulations can be claimed" in text) == doubtful
    assert ("whose form one or two decide" in text) == doubtful


def grouped(number: int, **settings: Any) -> SessionSubpopulations:
    return replace(subpopulations(np.random.default_rng(0), 60, number, 0), settings=settings)


@pytest.mark.parametrize(
    ("groups", "doubtful"),
    [
        (grouped(2, time_courses="within a clip", onsets=40), True),
        (grouped(2, time_courses="within a clip", onsets=None), True),
        (grouped(2), True),
        (grouped(2, time_courses="around onsets of the stimulus", onsets=40), False),
        (grouped(1, time_courses="within a clip", onsets=40), False),
        (None, False),
    ],
    ids=["no cell follows onsets", "no onsets", "an earlier version", "around onsets", "no division", "none"],
)
def test_groups_within_clips_are_doubted(groups: SessionSubpopulations | None, doubtful: bool) -> None:
    given = conclusions(made(), regions(), cells=200, different_clips=40, groups=groups)
    assert [text for kind, text in given if kind == "doubt"] == [why_groups_are_weak(groups)] * doubtful
    assert ("Groups found within clips are weak evidence" in why_groups_are_weak(groups)) == doubtful


@pytest.mark.parametrize(("clips", "said"), [(1, "1 different clip (6 with those"), (19, "19 different clips,")])
def test_few_different_clips_are_doubted(clips: int, said: str) -> None:
    assert said in doubts(made(), regions(), clips=clips)
    assert doubts(made(), regions(), clips=20) == ""


def test_errors_of_probes_and_paths_are_said_and_doubted_where_large() -> None:
    assert "4.0 % (neurons) and 4.0 % (pixels)" in words(made())
    noisy = doubts(made(fisher_relative_standard_error={"neurons": 0.05, "pixels": 0.2}), regions())
    assert "20.0 % (pixels)" in noisy
    assert "attribution.probes" in noisy
    assert "exact: no random probes" in words(made(fisher_relative_standard_error=None))
    assert "attribution.path_steps" in doubts(made(integrated_gradients_relative_gap={"neurons": 0.3}), regions())
    assert "miss 1.0 % (neurons)" in words(made(integrated_gradients_relative_gap={"neurons": 0.01}))


def test_it_is_said_whether_nulls_were_possible() -> None:
    assert "Against other clips 5 of 5 statistics could be tested." in words(made())
    assert "no stimulus regions of this session: whether" in doubts(made(), None)
    p_value = regions().p_value.copy()
    p_value[:, :, 1] = np.nan
    reasons = {f"total/{name}/other_clip": "there are 2 different clips" for name in regions().statistics}
    untested = doubts(made(), regions(p_value=p_value, not_tested=reasons))
    assert untested == "Nothing was tested against other clips: there are 2 different clips."
    out_of_reach = regions(smallest_p=np.full((2, S, 2), 0.02))
    assert "Against other clips no data could have been a finding" in doubts(made(), out_of_reach)
    p_value = regions().p_value.copy()
    p_value[0, 0, 0] = np.nan
    given = conclusions(made(), regions(p_value=p_value), cells=200, different_clips=40)
    assert any(
        text.startswith("Against shifted maps 4 of 5 statistics could be tested; 1 could not.") for _, text in given
    )


def test_pixels_alone_say_nothing_of_cells() -> None:
    text = words(made(to=("pixels",)), cells=3)
    assert "nothing can be said about cells" in text
    assert "fewer than 50" not in text
