"""The order of neurons in an NWB file is an accident of segmentation: no latent may depend on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from nwb_mivae import pipeline
from nwb_mivae.clips import ClipStore, Split, make_split
from nwb_mivae.inference import BLOCKS, SessionLatents, session_context, session_latents
from nwb_mivae.model import load_module
from nwb_mivae.run import Run
from tests.finished_run import FinishedRun, finished_run_of, small_pipeline

Order = npt.NDArray[np.int64]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def finished_run(request: pytest.FixtureRequest) -> FinishedRun:
    return finished_run_of(request)


def reorder(path: Path, *, rows: Order, columns: Order, mend_references: bool = True) -> None:
    """Reorder the rows of a file's PlaneSegmentation and, independently, the columns of its traces."""
    with h5py.File(path, "r+") as file:
        table = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        ends = table["pixel_mask_index"][:].astype(np.int64)
        masks = np.split(table["pixel_mask"][:], ends[:-1])
        table["id"][:] = table["id"][:][rows]
        table["pixel_mask"][:] = np.concatenate([masks[row] for row in rows])
        table["pixel_mask_index"][:] = np.cumsum([len(masks[row]) for row in rows])
        series = file["processing/ophys/DfOverF/DfOverF"]
        series["data"][:] = series["data"][:][:, columns]
        if mend_references:
            series["rois"][:] = np.argsort(rows)[series["rois"][:][columns]]


def latents_of(session: str, store: ClipStore, split: Split, run: Run) -> SessionLatents:
    module = load_module(run.model)
    return session_latents(module, store, split, session, session_context(module, store, split, session))


@pytest.fixture(scope="module")
def latents_of_reordered(
    finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SessionLatents, Callable[[bool], SessionLatents]]:
    """Latents of the held-out animal as recorded, and a function that gives those of its reordered file."""
    run = Run.at(finished_run.run)
    store = ClipStore.open(finished_run.store)
    split = Split.load(run.split)
    (session,) = split.held_out_sessions
    source = Path(store.sessions[session].source["path"])

    def reordered(mend_references: bool) -> SessionLatents:
        folder = tmp_path_factory.mktemp("reordered") / "recordings"
        shutil.copytree(finished_run.recordings, folder)
        n_cells = store.sessions[session].n_cells
        random = np.random.default_rng(0)
        (copy,) = folder.rglob(source.name)
        reorder(
            copy,
            rows=random.permutation(n_cells),
            columns=random.permutation(n_cells),
            mend_references=mend_references,
        )
        settings = small_pipeline()
        other = pipeline.prepare([folder], folder.parent / "store", configuration=settings)
        same = make_split(other, settings.split)
        assert same.held_out_sessions == split.held_out_sessions
        np.testing.assert_array_equal(same.part_of_content, split.part_of_content)
        assert not np.array_equal(other.sessions[session].neural, store.sessions[session].neural)
        return latents_of(session, other, same, run)

    return latents_of(session, store, split, run), reordered


def largest_difference(first: SessionLatents, second: SessionLatents, block: str) -> float:
    """Largest difference of a block's means and standard deviations, over the means' root mean square."""
    a, b = first.blocks[block], second.blocks[block]
    apart = max(np.abs(a.mean - b.mean).max(), np.abs(np.sqrt(a.variance) - np.sqrt(b.variance)).max())
    return float(apart / np.sqrt(np.square(a.mean).mean()))


def test_reordering_the_rois_of_a_file_changes_no_latent(
    latents_of_reordered: tuple[SessionLatents, Callable[[bool], SessionLatents]],
    record_property: Callable[[str, object], None],
) -> None:
    recorded, reordered = latents_of_reordered
    other = reordered(True)
    np.testing.assert_array_equal(recorded.row, other.row)
    np.testing.assert_array_equal(recorded.time, other.time)
    assert other.context == recorded.context
    assert recorded.context["clips"] > 0
    for block in BLOCKS:
        difference = largest_difference(recorded, other, block)
        record_property(f"largest relative difference of {block}", difference)
        print(f"largest relative difference of {block}: {difference:.2e}")
        assert difference < 1e-4


def test_giving_neurons_each_others_places_does_change_latents(
    latents_of_reordered: tuple[SessionLatents, Callable[[bool], SessionLatents]],
) -> None:
    recorded, reordered = latents_of_reordered
    assert largest_difference(recorded, reordered(False), "neural_shared") > 1e-3
