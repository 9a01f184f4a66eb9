"""What an attribution lacks for subpopulations and regions is said, and nothing where it has it."""

from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.attribution import (
    MethodAttribution,
    SessionAttribution,
    SubpopulationConfiguration,
    why_no_stimulus_regions,
    why_no_subpopulations,
)


def _attribution(*methods: str, cells: int = 3, pixels: int = 4) -> SessionAttribution:
    maps = MethodAttribution(
        np.zeros((2, cells), np.float32),
        np.zeros((1, cells), np.float32),
        np.zeros((2, pixels, pixels), np.float32),
        np.zeros((1, pixels, pixels), np.float32),
    )
    frames = np.arange(2)
    return SessionAttribution("a", dict.fromkeys(methods, maps), frames, frames + 1.0, frames, frames, 0 * frames)


@pytest.mark.parametrize(
    ("methods", "subpopulations", "regions"),
    [
        (("score", "fisher", "occlusion"), "", ""),
        (("score",), "", "from fisher, and latents were traced by score "),
        (("gradient", "occlusion"), "", "from fisher, and latents were traced by gradient, occlusion "),
    ],
)
def test_methods_that_are_missing_are_named(methods: tuple[str, ...], subpopulations: str, regions: str) -> None:
    found = _attribution(*methods)
    for reason, expected in ((why_no_subpopulations(found), subpopulations), (why_no_stimulus_regions(found), regions)):
        assert (expected in reason) if expected else reason == ""


def test_sources_that_are_missing_are_named() -> None:
    assert "pixels alone" in why_no_subpopulations(_attribution("fisher", cells=0))
    assert why_no_stimulus_regions(_attribution("fisher", cells=0)) == ""
    assert "neurons alone" in why_no_stimulus_regions(_attribution("fisher", pixels=0))
    assert why_no_subpopulations(_attribution("fisher", pixels=0)) == ""


def test_the_method_that_is_set_is_the_one_that_is_missing() -> None:
    settings = SubpopulationConfiguration(attribution_method="score")
    assert "from score, and latents were traced by fisher " in why_no_subpopulations(_attribution("fisher"), settings)
