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
    SpikesPerPresentation,
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


def test_counts_on_the_rows_tell_the_rows_and_a_wrong_clock_does_not():
    shown = [Presentation(0.1 * row, 0.1 * (row + 1), "a") for row in range(200)]
    spikes = SpikesPerPresentation(4)
    edges = np.array([row.start for row in shown] + [shown[-1].stop])

    def rows(late: float) -> np.ndarray:
        trains = spikes.spike_times(shown)
        return spikes.rows(np.stack([np.histogram(train, edges + late)[0] for train in trains], axis=1))

    assert np.array_equal(rows(0.0), np.arange(200))
    assert np.array_equal(rows(0.0004), np.arange(200))
    assert np.mean(rows(0.0006) == np.arange(200)) < 0.1
    assert np.mean(rows(-0.0006) == np.arange(200)) < 0.1
    with pytest.raises(ValueError, match="expected fewer than 256"):
        spikes.counts(256)
