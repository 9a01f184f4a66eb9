from __future__ import annotations

import numpy as np
import pytest

from tests.layouts.truth import (
    NO_PICTURE,
    NOTHING_KNOWN,
    LayoutTruth,
    LinearInTime,
    Presentation,
    SineInTime,
    number_in,
    pictures,
)


def test_every_picture_carries_its_number_through_resizing():
    drawn = pictures(4096)
    assert [number_in(picture) for picture in drawn] == list(range(4096))
    assert all(np.ptp(picture) > 0 for picture in drawn[::97])
    larger = np.kron(drawn[1234], np.ones((3, 5)))
    assert number_in(larger) == 1234
    smaller = larger.reshape(larger.shape[0] // 6, 6, larger.shape[1] // 4, 4).mean(axis=(1, 3))
    assert number_in(smaller) == 1234
    with pytest.raises(ValueError, match="expected 0 to 4095"):
        pictures(2, first=4095)


def test_a_grey_screen_is_no_picture():
    assert number_in(np.full((12, 16), 127)) == NO_PICTURE


@pytest.mark.parametrize("encoding", [LinearInTime.of(5), SineInTime(np.array([2.0, 3.0]))])
def test_lateness_is_what_the_values_are_late_by(encoding):
    times = np.arange(0, 30, 0.1)
    assert np.allclose(encoding.lateness(times, encoding.values(times)), 0.0)
    assert np.allclose(encoding.lateness(times, encoding.values(times - 0.2)), 0.2)


def test_lateness_of_a_sine_does_not_depend_on_scale_and_offset():
    encoding, times = SineInTime(np.array([2.0, 3.0])), np.arange(0, 30, 0.1)
    assert np.allclose(encoding.lateness(times, encoding.values(times - 0.2) / 60 - 1), 0.2)


def test_what_was_shown(tmp_path):
    truth = LayoutTruth(
        name="test",
        dandisets=(),
        files=(tmp_path / "a.nwb",),
        n_cells_all=1,
        n_cells_valid=1,
        trace_kind="dff",
        trace_path="a",
        positions=np.zeros((1, 3)),
        presentations=(Presentation(1.0, 2.0, "a", "a", 0, 17), Presentation(2.0, 3.0, "b", blank=True)),
        encodes=None,
        trace_times=np.zeros(0),
    )
    assert truth.frame_shown([0.5, 1.0, 1.9, 2.0, 3.0]).tolist() == [-1, 0, 0, 1, -1]
    assert truth.picture_shown([0.5, 1.0, 2.0]).tolist() == [NOTHING_KNOWN, 17, NO_PICTURE]
