from __future__ import annotations

import pytest

from nwb_mivae.sessions.conventions import load_conventions, specific_stem, stimulus_stem, without_suffix


@pytest.mark.parametrize(
    "names",
    [
        ("natural_movie_one_presentations", "natural_movie_one_stimulus", "natural_movie_one.mp4", "Natural Movie One"),
        ("clip1", "clip1.avi", "clip_1"),
        ("set_2017.07.14", "set_2017_07_14_template"),
    ],
)
def test_names_of_one_thing(names: tuple[str, ...]) -> None:
    assert len({stimulus_stem(name) for name in names}) == 1


def test_digits_are_kept_apart() -> None:
    assert len({stimulus_stem(name) for name in ("clip1_0", "clip10", "clip1", "clip_1_0_1", "clip1_01")}) == 5


def test_a_name_that_is_only_a_suffix_stays() -> None:
    assert (without_suffix("stimulus"), without_suffix("Images"), without_suffix("a_images")) == (
        "stimulus",
        "Images",
        "a",
    )


def test_the_built_in_traps_say_what_to_use_instead() -> None:
    traps = [trap for layout in load_conventions().layouts for trap in layout.traps]
    assert any("visual-coding-to-nwb-v2#49" in trap.why for trap in traps)
    assert all(trap.remedy for trap in traps)


def test_a_task_without_imaging_has_a_layout() -> None:
    paths = [
        "intervals/trials/change_image_name",
        "intervals/set_2017_presentations",
        "stimulus/templates/set_2017.07.14",
        "processing/running/speed",
    ]
    layout = load_conventions().layout_of(paths)
    assert layout is not None
    assert layout.dandisets == ("000711",)
    assert load_conventions().layout_of(paths[1:]) is None


def test_words_that_many_names_have_are_taken_away() -> None:
    words = load_conventions().generic_words
    alike = ("movie_flower_fwd_presentations", "flower_fwd", "Natural Movie Flower Fwd.mp4")
    assert {specific_stem(name, words) for name in alike} == {"flowerfwd"}
    assert specific_stem("natural_movie_1", words) == specific_stem("movie", words) == ""
