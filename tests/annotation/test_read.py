from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nwb_mivae.annotation import annotate, read_annotations
from nwb_mivae.errors import AnnotationError, SessionError
from nwb_mivae.inference.latents import BLOCKS
from nwb_mivae.outputs import sha256_of_file
from tests.annotation.sources import PLANE, attribution_for, latents_for, model_record, stored_for, write_source


def test_everything_comes_back(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb", frames_per_presentation=2)
    stored = stored_for(source, frames_per_presentation=2)
    latents, attribution, model = latents_for(stored), attribution_for(stored), model_record()
    out = annotate(source, tmp_path / "out.nwb", latents=latents, attribution=attribution, stored=stored, model=model)
    read = read_annotations(out)
    assert read.model == model
    assert read.source["sha256"] == sha256_of_file(source)
    assert (read.source["file_name"], read.source["asset"]) == ("source.nwb", "")
    assert read.context == {"clips": 5, "minutes": 0.25}
    assert read.frames["clip"].tolist() == latents.clip.tolist()
    assert read.frames["split"].unique().tolist() == ["train", "validation", "test"]
    np.testing.assert_array_equal(read.frames["start_time"], latents.time)
    assert set(read.blocks) == set(BLOCKS)
    for name, block in latents.blocks.items():
        np.testing.assert_array_equal(read.blocks[name].mean, block.mean)
        np.testing.assert_array_equal(read.blocks[name].variance, block.variance)
    assert sorted(posterior.block for posterior in read.presentations) == sorted(BLOCKS)
    posterior = read.presentations[0]
    assert posterior.rows.tolist() == list(range(12))
    assert posterior.mean.shape == (12, 2, 3)
    # Frame 3, the second of presentation 1, was not encoded; nothing else is missing.
    missing = np.isnan(posterior.mean).all(axis=2)
    assert np.argwhere(missing).tolist() == [[1, 1]]
    assert read.attribution is not None
    np.testing.assert_array_equal(read.attribution.time, attribution.time)
    assert set(read.attribution.cells["source_path"]) == {PLANE}
    assert read.attribution.settings == attribution.settings
    for name, maps in attribution.methods.items():
        for part in ("neurons", "neurons_per_latent", "pixels", "pixels_per_latent"):
            np.testing.assert_array_equal(getattr(read.attribution.methods[name], part), getattr(maps, part))


def test_a_file_without_results_is_refused(tmp_path: Path):
    source = write_source(tmp_path / "source.nwb")
    with pytest.raises(AnnotationError, match="no processing module and lab metadata named 'mivae'"):
        read_annotations(source)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(SessionError):
        read_annotations(tmp_path / "gone.nwb")
