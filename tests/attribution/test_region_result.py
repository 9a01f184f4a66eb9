"""Stimulus regions as a file, and what is said of every outcome."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.attribution import SessionStimulusRegions
from nwb_mivae.attribution.stimulus_statistics import STATISTICS
from nwb_mivae.errors import AttributionError

S, C, K = len(STATISTICS), 9, 2


def _regions() -> SessionStimulusRegions:
    random = np.random.default_rng(0)
    effect = random.standard_normal((2, S, 2))
    return SessionStimulusRegions(
        session="a",
        attribution_method="fisher",
        clip=np.arange(C),
        correlation=random.standard_normal((2, S)),
        effect=effect,
        interval=effect[..., None] + [-0.1, 0.1],
        p_value=np.full((2, S, 2), 0.5),
        p_corrected=np.ones((2, S, 2)),
        smallest_p=np.full((2, S, 2), 1e-4),
        null_effect=random.standard_normal((2, S, 2, 101)),
        effect_by_clip=random.standard_normal((2, S, 2, C)),
        latent_map=random.random((K, 3, 4)).astype(np.float32),
        latent_centre=random.random((K, 2)),
        latent_extent=random.random(K),
        latent_concentration=np.array([0.5, np.nan]),
        not_tested={"unique/edge_strength/shifted": "why"},
        settings={"configuration": {"confidence": 0.95}, "seed": 1},
        weights_sha256="ab" * 32,
    )


def test_they_survive_a_file(tmp_path: Path) -> None:
    saved = _regions()
    saved.save(tmp_path / "a.npz")
    read = SessionStimulusRegions.load(tmp_path / "a.npz")
    for each in fields(saved):
        one, other = getattr(saved, each.name), getattr(read, each.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other
    assert read.in_words() == saved.in_words()


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    _regions().save(tmp_path / "whole.npz")
    (tmp_path / "truncated.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{"session": "a"}], dtype=object))
    for name in ("missing", "truncated", "text", "other", "pickle"):
        with pytest.raises(AttributionError, match="no stimulus regions") as refusal:
            SessionStimulusRegions.load(tmp_path / f"{name}.npz")
        assert refusal.value.file == str(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("effects", "p_values", "expected"),
    [
        (
            (0.2, 0.1),
            (0.01, 0.01),
            "lies where luminance is high (.*), and from clip to clip it follows high luminance",
        ),
        ((-0.2, 0.1), (0.01, 0.01), "lies where luminance is low (.*), but from clip to clip it follows high"),
        ((0.2, 0.1), (0.01, 0.5), "is high (.*), so that a map that is the same in all clips may be the reason"),
        (
            (0.2, 0.1),
            (0.5, 0.01),
            "not shown to lie where luminance is high or low more than if shifted (.*), but from clip to clip it",
        ),
        ((0.2, 0.1), (0.5, 0.5), "not shown to lie where .*; it is not shown to follow luminance from clip to clip"),
    ],
)
def test_words_say_what_each_null_says(
    effects: tuple[float, float], p_values: tuple[float, float], expected: str
) -> None:
    regions = _regions()
    effect, corrected = regions.effect.copy(), regions.p_corrected.copy()
    effect[0, 0], corrected[0, 0] = effects, p_values
    words = replace(regions, effect=effect, p_corrected=corrected).in_words()["luminance"]
    assert re.search(expected.replace("(.*)", r"\(.*\)"), words)
    assert words.endswith("Nothing is shown that it has beyond the other statistics.")


def test_words_say_what_so_few_clips_or_pixels_could_not_have_shown() -> None:
    words = replace(_regions(), smallest_p=np.full((2, S, 2), 0.0051)).in_words()["luminance"]
    assert "which so few pixels cannot show; it is not shown to follow" in words
    assert "which so few clips cannot show" in words
    assert "cannot show" not in replace(_regions(), smallest_p=np.full((2, S, 2), 0.0049)).in_words()["luminance"]


def test_words_say_what_is_not_known() -> None:
    assert _regions().in_words()["edge_strength"].endswith("What it has beyond the other statistics is not known: why.")
    unknown = _regions().correlation * np.nan
    reasons = {f"total/{name}/shifted": "reason" for name in STATISTICS}
    regions = replace(_regions(), correlation=unknown, not_tested=reasons)
    assert regions.in_words()["luminance"] == "Nothing is known about luminance: reason."


def test_the_strongest_is_first_what_follows_from_clip_to_clip_then_what_lies_there() -> None:
    regions = _regions()
    effect, corrected = np.full((2, S, 2), 0.1), np.ones((2, S, 2))
    effect[0, 1], effect[0, 2], effect[0, 3], effect[0, 4] = (0.9, 0.9), (0.2, 0.2), (-0.3, -0.3), (0.4, 0.8)
    names = list(STATISTICS)

    def strongest() -> str:
        return replace(regions, effect=effect, p_corrected=corrected).strongest()

    assert strongest() == names[1]  # nothing was found
    corrected[0, 4, 0] = 0.01
    assert strongest() == names[4]
    corrected[0, 2, 1] = corrected[0, 3, 1] = 0.01
    assert strongest() == names[3]
    effect[...] = np.nan
    corrected[...] = np.nan
    assert strongest() in names


def test_what_no_data_could_have_shown_is_known() -> None:
    assert _regions().can_find("shifted")
    few = np.full((2, S, 2), 1e-4)
    few[..., 1] = 0.0051
    regions = replace(_regions(), smallest_p=few)
    assert regions.can_find("shifted")
    assert not regions.can_find("other_clip")
    assert not replace(_regions(), p_value=np.full((2, S, 2), np.nan)).can_find("shifted")
