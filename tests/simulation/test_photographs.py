from __future__ import annotations

import numpy as np
import pytest

from nwb_mivae.errors import SimulationError
from nwb_mivae.simulation import photographs as room
from nwb_mivae.simulation.photographs import PHOTOGRAPHS, Photographs, load_photographs


def test_every_photograph_uses_the_whole_range_of_luminance(photographs: Photographs) -> None:
    assert len(photographs) == len(PHOTOGRAPHS)
    for photograph in photographs:
        pixels = np.asarray(photograph)
        assert photograph.mode == "L"
        assert min(photograph.size) == 288
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert 0.005 < (pixels == 255).mean() < 0.2


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(SimulationError) as caught:
        load_photographs()
    assert "skimage" in caught.value.found
    assert "nwb-mivae[simulation]" in str(caught.value.remedy)


def test_a_missing_photograph_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PHOTOGRAPHS", (("skimage", "data/no_such_photograph.png"),))
    with pytest.raises(SimulationError) as caught:
        load_photographs()
    assert str(caught.value.file).endswith("no_such_photograph.png")
