"""The whole way of a session whose two planes lie in files of their own: inspect, prepare, train, annotate."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
from pynwb import NWBHDF5IO

from nwb_mivae import pipeline
from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.inference import SessionLatents
from nwb_mivae.outputs import sha256_of_file
from tests.annotation.sources import attribution_for, latents_for, model_record
from tests.finished_run import small_pipeline
from tests.plane_files import frame_onsets, write_plane, write_planes

FRAMES = 600
KEY = "sub-mouse1_ses-11_image+ophys"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (FRAMES, 16, 24)).astype(np.uint8)
    values = random.standard_normal((230, 3)).astype(np.float32)
    write_planes(folder, (0, 1), onsets=frame_onsets(FRAMES), values=values, pixels=pixels)
    write_plane(
        folder / "sub-mouse2_ses-12_image+ophys.nwb",
        subject="mouse2",
        onsets=frame_onsets(FRAMES, seed=1),
        values=values,
        pixels=pixels,
    )
    return folder


@pytest.fixture(scope="module")
def run(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    settings = small_pipeline()
    store = pipeline.prepare([recordings], folder / "store", configuration=settings)
    pipeline.train(store, folder / "run", configuration=settings)
    pipeline.attribute(folder / "run", sessions=[KEY])
    return folder / "run"


def test_inspect_lists_the_session_once_with_its_files(recordings: Path):
    described, refused = pipeline.inspect([recordings])
    assert not refused
    assert [each["key"] for each in described] == [KEY, "sub-mouse2_ses-12_image+ophys"]
    joined = described[0]
    assert [Path(file["path"]).name for file in joined["files"]] == [
        "sub-mouse1_ses-11-acq-20_image+ophys.nwb",
        "sub-mouse1_ses-11-acq-21_image+ophys.nwb",
    ]
    assert joined["cells"]["number"] == 6
    assert [plane["shape"] for plane in joined["traces"]["planes"]] == [[230, 3], [230, 3]]
    assert joined["traces"]["rate"] == pytest.approx(10.0)


@pytest.mark.slow
def test_every_file_gets_a_copy_with_its_own_rois(run: Path, recordings: Path):
    before = {path: sha256_of_file(path) for path in recordings.iterdir()}
    written, refused = pipeline.annotate(run, sessions=[KEY])
    assert refused == []
    assert [path.name for path in written] == [
        "sub-mouse1_ses-11-acq-20_desc-mivae_image+ophys.nwb",
        "sub-mouse1_ses-11-acq-21_desc-mivae_image+ophys.nwb",
    ]
    assert {path: sha256_of_file(path) for path in recordings.iterdir()} == before
    latents = SessionLatents.load(run / "latents" / f"{KEY}.npz")
    attribution = pipeline.attribute(run, sessions=[KEY])[KEY].attribution
    sources = [path.with_name(path.name.replace("_desc-mivae", "")) for path in written]
    read = [read_annotations(path) for path in written]
    for number, (results, source) in enumerate(zip(read, sources, strict=True)):
        assert pynwb.validate(path=str(written[number])) == []
        original = recordings / source.name
        assert results.source["file_name"] == source.name
        assert results.source["sha256"] == sha256_of_file(original)
        with NWBHDF5IO(str(original), "r") as reading:
            assert results.source["object_id"] == reading.read().object_id
        for name, block in latents.blocks.items():
            np.testing.assert_array_equal(results.blocks[name].mean, block.mean)
        assert results.attribution is not None
        plane = slice(3 * number, 3 * number + 3)
        for method, maps in attribution.methods.items():
            mine = results.attribution.methods[method]
            np.testing.assert_array_equal(mine.neurons, maps.neurons[:, plane])
            np.testing.assert_array_equal(mine.neurons_per_latent, maps.neurons_per_latent[:, plane])
            np.testing.assert_array_equal(mine.pixels, maps.pixels)
        assert results.attribution.cells["source_row"].tolist() == [0, 1, 2]
        assert {posterior.table for posterior in results.presentations} == {"intervals/natural_movie_presentations"}
    assert read[0].model == read[1].model
    # The animal of the joined session was held out or trained on; in the record a session has an entry for each file.
    names = {session.file_name for session in read[0].model.training_sessions}
    joined = {source.name for source in sources}
    assert names in (joined, {"sub-mouse2_ses-12_image+ophys.nwb"})


@pytest.mark.slow
def test_copies_beside_their_sources_are_not_prepared_again(run: Path, recordings: Path, tmp_path: Path):
    written, _ = pipeline.annotate(run, sessions=[KEY])
    store = pipeline.prepare([recordings, run / "annotated"], tmp_path / "store", configuration=small_pipeline())
    assert sorted(store.sessions) == [KEY, "sub-mouse2_ses-12_image+ophys"]
    assert sorted(file["name"] for file in store.sessions[KEY].source["left_out"]) == [path.name for path in written]


@pytest.mark.slow
def test_a_file_that_changed_is_refused_and_the_other_is_annotated(run: Path, recordings: Path, tmp_path: Path):
    copies = tmp_path / "recordings"
    copies.mkdir()
    for path in recordings.iterdir():
        (copies / path.name).write_bytes(path.read_bytes())
    with h5py.File(copies / "sub-mouse1_ses-11-acq-21_image+ophys.nwb", "r+") as root:
        root["processing/ophys/DfOverF/RoiResponseSeries/data"][0, 0] += 1
    written, refused = pipeline.annotate(run, sessions=[KEY], source_folder=copies, out=tmp_path / "out")
    assert [path.name for path in written] == ["sub-mouse1_ses-11-acq-20_desc-mivae_image+ophys.nwb"]
    (problem,) = refused
    assert problem.file == str(copies / "sub-mouse1_ses-11-acq-21_image+ophys.nwb")
    assert "changed since" in problem.found


@pytest.mark.slow
def test_presentations_are_written_where_the_file_has_them(run: Path, recordings: Path, tmp_path: Path):
    """A plane without the table has the latents and no ``PresentationLatents``."""
    bare = write_plane(
        tmp_path / "sub-mouse1_ses-11-acq-21_image+ophys.nwb", 1, stimulus=False, metadata={"ophys_session_id": "11"}
    )
    first = recordings / "sub-mouse1_ses-11-acq-20_image+ophys.nwb"
    store = pipeline.prepare([first, bare], tmp_path / "store", configuration=small_pipeline())
    (stored,) = store.sessions.values()
    for source, tables in ((first, 4), (bare, 0)):
        out = annotate(
            source,
            tmp_path / f"annotated-{source.name}",
            latents=latents_for(stored),
            attribution=attribution_for(stored),
            stored=stored,
            model=model_record(),
        )
        results = read_annotations(out)
        assert len(results.presentations) == tables
        assert results.attribution is not None
        assert len(results.attribution.cells) == 3
