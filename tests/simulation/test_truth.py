from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.simulation import TRUTH_KEYS, SimulatedAnimal, SimulationConfiguration


@pytest.fixture(scope="module")
def truth(written: list[SimulatedAnimal]) -> dict[str, np.ndarray]:
    with np.load(written[0].truth, allow_pickle=False) as arrays:
        return dict(arrays)


def test_the_documented_arrays_are_there_in_their_shape_and_type(truth: dict[str, np.ndarray]) -> None:
    assert list(truth) == list(TRUTH_KEYS)
    sizes = {
        "N": len(truth["cell_type"]),
        "F": len(truth["frame_time"]),
        "M": len(truth["movie_names"]),
        "H": 36,
        "W": 64,
        "spikes": len(truth["spike_times"]),
    }
    for key, said in TRUTH_KEYS.items():
        shape, kind = said.split(":")[0].rsplit(" ", 1)
        expected = tuple(
            sizes.get(part) or int(part) for part in shape.strip("(),").replace(" ", "").split(",") if part
        )
        assert truth[key].shape == expected, key
        assert truth[key].dtype.kind == "U" if kind == "str" else truth[key].dtype == np.dtype(kind), key


def test_drivers_say_who_is_driven_by_what(truth: dict[str, np.ndarray]) -> None:
    assert list(truth["driver_names"]) == ["stimulus", "running", "arousal", "network"]
    visual = truth["drivers"][:, 0]
    np.testing.assert_array_equal(visual, truth["cell_type"] != "not_visual")
    np.testing.assert_array_equal(truth["pixel_mask"].any(axis=(1, 2)), visual)
    np.testing.assert_array_equal(truth["drive"].any(axis=0), visual)
    np.testing.assert_array_equal(truth["drivers"][:, 1:], truth["loadings"] != 0.0)


def test_planted_subpopulations_and_region_are_told(
    written_planted: list[SimulatedAnimal], truth: dict[str, np.ndarray]
) -> None:
    with np.load(written_planted[0].truth, allow_pickle=False) as arrays:
        planted = dict(arrays)
    assert set(planted["subpopulation"]) == {"transient", "sustained", "luminance", "not_visual"}
    striped = np.isin(planted["cell_type"], ["simple", "complex"])
    np.testing.assert_array_equal(np.isin(planted["subpopulation"], ["transient", "sustained"]), striped)
    assert planted["driving_pixels"][:, 32:].all()
    assert not planted["driving_pixels"][:, :32].any()
    assert not planted["pixel_mask"][:, ~planted["driving_pixels"]].any()
    assert set(truth["subpopulation"]) == {""}
    assert truth["driving_pixels"].all()


def test_the_configuration_can_be_read_back(truth: dict[str, np.ndarray], small: SimulationConfiguration) -> None:
    import yaml

    assert SimulationConfiguration.from_mapping(yaml.safe_load(str(truth["configuration"]))) == small
