"""The whole way on recordings nobody here wrote; with so few cells and steps it shows that it runs, no more."""

from __future__ import annotations

from pathlib import Path

import pynwb
import pytest

from nwb_mivae import pipeline, read_annotations
from nwb_mivae.clips import ClipStore
from nwb_mivae.outputs import sha256_of_file
from tests.finished_run import small_pipeline
from tests.openscope_sessions import write_openscope_sessions
from tests.stand_in_movies import clip_names, make_stand_in_movies

pytestmark = pytest.mark.slow


def whole_way(
    recordings: Path, folder: Path, configuration: pipeline.PipelineConfiguration, movies: Path | None = None
) -> list[Path]:
    """Every step on a folder of recordings; the annotated copies, in order."""
    store = pipeline.prepare([recordings], folder / "store", configuration=configuration, stimulus_folder=movies)
    pipeline.train(store, folder / "run", configuration=configuration)
    pipeline.evaluate(folder / "run")
    pipeline.attribute(folder / "run")
    written, refused = pipeline.annotate(folder / "run")
    assert refused == []
    assert pipeline.report(folder / "run").stat().st_size < 15e6
    return sorted(written)


def test_human_units_and_stand_in_movies(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "nwb" / "sub-4_ses-4_ecephys+image.nwb"
    digest = sha256_of_file(source)
    movies = make_stand_in_movies(real_data / "stimuli" / "flower.mp4", clip_names(source), tmp_path / "movies")
    written = whole_way(
        source, tmp_path, small_pipeline().changed({"split.held_out": 0, "split.test_fraction": 0.2}), movies
    )
    assert [path.name for path in written] == ["sub-4_ses-4_desc-mivae_ecephys+image.nwb"]
    assert sha256_of_file(source) == digest
    found = read_annotations(written[0])
    session = next(iter(ClipStore.open(tmp_path / "store").sessions.values()))
    assert session.trace_kind == "spikes"
    assert session.n_cells == 35
    assert found.blocks["neural_shared"].mean.shape[1] == 4
    assert found.attribution is not None
    assert found.attribution.methods["fisher"].neurons.shape[1] == 35


def test_eight_openscope_animals_two_of_them_held_out(real_data: Path, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    write_openscope_sessions(real_data / "ophys" / "openscope_gabor_trials.json", recordings)
    # Every trial shows the same pictures, so single showings are held out, and the result says so.
    configuration = small_pipeline().changed(
        {"split.by": "presentation", "split.held_out": 2, "split.test_fraction": 0.2}
    )
    written = whole_way(recordings, tmp_path, configuration)
    assert len(written) == 8
    evaluation = (tmp_path / "run" / "evaluation.json").read_text()
    assert '"content_disjoint": false' in evaluation
    assert evaluation.count('"held_out": true') >= 2
    assert "seen in training" in (tmp_path / "run" / "report.html").read_text()
    # One of a single ROI, and one of several.
    for path in (written[0], written[-1]):
        assert pynwb.validate(path=path) == []
