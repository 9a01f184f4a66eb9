"""From NWB files to clips: simulated animals, whose truth is known, and real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.clips import PARTS, ClipStore, SplitConfiguration, make_split, prepare
from nwb_mivae.errors import StoreError
from tests.openscope_sessions import write_openscope_sessions


@pytest.mark.slow
def test_simulated_animals_are_aligned_with_their_truth(tmp_path):
    from nwb_mivae.simulation import SimulationConfiguration, simulate

    animals = simulate(
        tmp_path / "animals",
        SimulationConfiguration(
            animals=2,
            minutes=1.2,
            cells=(30, 40),
            movie_seconds=4.0,
            display_jitter=0.001,
            dropped_frames=0.01,
            imaging_gaps=1,
            noise=0.0,
        ),
    )
    files = sorted((tmp_path / "animals").rglob("*.nwb"))
    truths = sorted((tmp_path / "animals").rglob("*truth.npz"))
    assert len(animals) == len(files) == len(truths) == 2
    store = prepare(files, tmp_path / "store")
    assert not store.manifest["failures"]
    assert ClipStore.open(tmp_path / "store", verify=True).digest == store.digest
    decay = np.exp(-np.arange(60) / 30 / 0.5)
    for session, file in zip(store.sessions.values(), truths, strict=True):
        with np.load(file) as truth:
            # Every refresh of the screen is there; where one failed, the picture before it was held.
            shown = np.flatnonzero(truth["frame_movie"] >= 0)
            failed = truth["frame_dropped"][shown]
            assert session.time[~failed] == pytest.approx(truth["frame_time"][shown][~failed], abs=1e-6)
            assert session.time == pytest.approx(truth["frame_time"][shown], abs=0.5 / 30)
            assert session.frame.tolist() == truth["frame_number"][shown].tolist()
            assert session.report["frames_held"] == failed.sum() > 0
            # Between two frames of one movie nothing is lost unseen; only at its ends could a lost frame not be told.
            rows = np.flatnonzero(truth["presentation"] >= 0)
            inside = (np.diff(truth["frame_movie"][rows]) == 0) & (np.diff(truth["frame_number"][rows]) > 0)
            assert session.report["frames_dropped"] == (np.diff(rows) - 1)[inside].sum() > 0
            rates = truth["rates"].astype(np.float64)
        assert session.report["neural_gaps"] == 1
        # Without noise, activity is the indicator's answer to the firing rates, at the time they had and no other.
        expected = np.apply_along_axis(lambda one: np.convolve(one, decay)[: len(one)], 0, rates)
        agreement = {
            shift: np.median(
                [
                    np.corrcoef(np.roll(one, shift)[shown][session.valid], other)[0, 1]
                    for one, other in zip(expected.T, session.neural[session.valid].astype(np.float64).T, strict=True)
                ]
            )
            for shift in (-15, 0, 15)
        }
        assert agreement[0] > 0.5
        assert agreement[0] > max(agreement[-15], agreement[15]) + 0.05
    split = make_split(store, SplitConfiguration(held_out=0), n_frames=16)
    contents = [
        {row.tobytes() for row in split.distinct_clips(session, "test", n_frames=16).content}
        for session in store.sessions.values()
    ]
    assert contents[0] & contents[1]


def test_openscope_sessions_can_only_be_split_by_presentation(real_data: Path, tmp_path):
    files = write_openscope_sessions(real_data / "ophys/openscope_gabor_trials.json", tmp_path / "files")
    store = prepare(files, tmp_path / "store")
    assert len(store.sessions) == 8
    with pytest.raises(StoreError, match="too few different stimuli") as caught:
        make_split(store, n_frames=16)
    assert "presentation" in (caught.value.remedy or "")
    split = make_split(store, SplitConfiguration(by="presentation", held_out=2), n_frames=16)
    assert not split.content_disjoint
    assert len(split.held_out_sessions) == 2
    for session in store.sessions.values():
        # 45 samples of every trial, and no clip across two trials.
        assert np.unique(np.bincount(session.segment)).tolist() == [45]
        assert all(len(split.clip_starts(session, part, n_frames=16)) for part in PARTS)


def test_a_recording_without_its_movies_is_refused_and_nothing_is_left(real_data: Path, tmp_path):
    with pytest.raises(StoreError, match=r"missing are .*\.mp4") as caught:
        prepare([real_data / "nwb/sub-4_ses-4_ecephys+image.nwb"], tmp_path / "store")
    assert "--stimulus-folder" in (caught.value.remedy or "")
    assert caught.value.object_path == "intervals/encoding_table"
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["nwb_broken/496908818s_nwb1.nwb", "nwb_broken/652989705_partial_download.nwb", "nwb/optinist_test_nwb.nwb"]
)
def test_files_that_cannot_be_used_leave_no_store(real_data: Path, tmp_path, name):
    with pytest.raises(StoreError) as caught:
        prepare([real_data / name], tmp_path / "store")
    assert caught.value.file == str(real_data / name)
    assert caught.value.remedy
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
