from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nwb_mivae.clips import ClipStore
from nwb_mivae.errors import OutputError
from nwb_mivae.report import write_report
from nwb_mivae.run import Run
from tests.finished_run import FinishedRun

pytestmark = pytest.mark.slow


def test_the_report_has_every_part_and_stays_small(finished_run: FinishedRun):
    path = finished_run.run / "report.html"
    text = path.read_text(encoding="utf-8")
    for anchor in ("in-words", "data", "training", "alignment-and-retrieval", "latents-over-time", "attribution"):
        assert f'id="{anchor}"' in text
    assert "Not computed yet" not in text
    assert text.count("<figure>") >= 8
    assert "Clip store digest" in text
    assert "lag (s)" in text
    assert str(finished_run.store) not in text
    assert path.stat().st_size < 15e6


def test_what_is_missing_is_named_with_its_command(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    for part in ("latents", "attribution", "annotated"):
        shutil.rmtree(copy.run / part)
    for part in ("evaluation.json", "training.csv", "provenance.json", "configuration.yaml", "report.html"):
        (copy.run / part).unlink()
    text = write_report(copy.run, ClipStore.open(copy.store)).read_text(encoding="utf-8")
    for command in ("evaluate", "attribute", "annotate"):
        assert f"run `nwb-mivae {command}` " in text
    assert "there are no curves" in text
    assert "no provenance record" in text
    assert "<figure>" not in text


def test_text_from_files_is_escaped_and_damaged_parts_are_said(finished_run: FinishedRun, tmp_path: Path):
    copy = finished_run.copied_to(tmp_path)
    manifest = json.loads((copy.store / "manifest.json").read_text())
    for number, entry in enumerate(manifest["sessions"].values()):
        entry["subject"] = f"<script>alert({number})</script>$\\frac{{"
    (copy.store / "manifest.json").write_text(json.dumps(manifest))
    for path in (copy.run / "latents").iterdir():
        path.write_bytes(b"nothing")
    for path in (copy.run / "attribution").iterdir():
        path.write_bytes(b"nothing")
    text = write_report(Run.at(copy.run), ClipStore.open(copy.store)).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(0)" in text
    assert "holds no latents" in text
    assert "holds no attribution" in text


def test_cells_without_positions_are_said(finished_run: FinishedRun, tmp_path: Path):
    import numpy as np

    copy = finished_run.copied_to(tmp_path)
    for path in (copy.store / "sessions").rglob("coordinates.npy"):
        np.save(path, np.full_like(np.load(path), np.nan))
    text = write_report(copy.run, ClipStore.open(copy.store)).read_text(encoding="utf-8")
    assert "no positions of its cells" in text


def test_a_folder_without_training_is_refused(finished_run: FinishedRun, tmp_path: Path):
    with pytest.raises(OutputError, match=r"without a trained model.*Run `nwb-mivae train` first"):
        write_report(tmp_path, ClipStore.open(finished_run.store))
    assert not list(tmp_path.iterdir())


def test_annotated_files_of_every_kind_are_listed_and_unfinished_ones_are_not(
    finished_run: FinishedRun, tmp_path: Path
):
    copy = finished_run.copied_to(tmp_path)
    for name in ("deep/twin_desc-mivae.nwb", "folder_desc-mivae_ophys.nwb.zarr", ".left.partial.nwb"):
        (copy.run / "annotated" / name).mkdir(parents=True)
    text = write_report(copy.run, ClipStore.open(copy.store)).read_text(encoding="utf-8")
    assert "deep/twin_desc-mivae.nwb" in text
    assert "folder_desc-mivae_ophys.nwb.zarr" in text
    assert ".left" not in text
