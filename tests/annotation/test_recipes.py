"""Every block of Python on the page about reading results, run against an annotated file of the names it uses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwb_mivae.annotation import annotate, read_annotations
from tests.annotation.sources import (
    attribution_for,
    evaluation_for,
    fingerprints_for,
    latents_for,
    model_record,
    stored_for,
    subpopulations_for,
    write_source,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/read-results.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = sorted(set(re.findall(r"[\"']([\w+./-]+\.nwb(?:\.zarr)?)[\"']", "".join(BLOCKS))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small annotated file under every name that the page uses."""
    folder = tmp_path_factory.mktemp("recipes")
    source = write_source(folder / "source.nwb", frames_per_presentation=2)
    stored = stored_for(source, frames_per_presentation=2)
    for backend in ("hdf5", "zarr") if find_spec("hdmf_zarr") else ("hdf5",):
        names = [name for name in FILES if name.endswith(".zarr") == (backend == "zarr")]
        for name in names[:1]:
            annotate(
                source, folder / name, latents=latents_for(stored), stored=stored, model=model_record(),
                attribution=attribution_for(stored), fingerprints=fingerprints_for(stored),
                subpopulations=subpopulations_for(stored), evaluation=evaluation_for(stored), backend=backend,
            )  # fmt: skip
        for name in names[1:]:
            (shutil.copytree if backend == "zarr" else shutil.copy)(folder / names[0], folder / name)
    return folder


def test_the_page_has_a_recipe_for_each_reader():
    for reader in ("nwb_mivae", "pandas", "pynapple", "pynwb"):
        assert reader in PAGE
    assert len(BLOCKS) >= 4
    assert FILES


def run(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a block leaves behind, run beside the files it names."""
    for package in ("pynapple", "hdmf_zarr"):
        if package in block:
            pytest.importorskip(package)
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(block, str(ROOT / "docs/how-to/read-results.md"), "exec"), found)
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(len(BLOCKS))])
def test_a_recipe_is_true(folder: Path, monkeypatch: pytest.MonkeyPatch, block: str):
    found = run(block, folder, monkeypatch)
    assert all(value.size for value in found.values() if isinstance(value, np.ndarray)), "a recipe that reads nothing"


def test_what_a_recipe_calls_test_are_the_test_frames(folder: Path, monkeypatch: pytest.MonkeyPatch):
    frames = read_annotations(folder / FILES[0]).frames
    expected = frames["start_time"][frames["split"] == "test"].to_numpy()
    assert 0 < len(expected) < len(frames)
    blocks = [block for block in BLOCKS if re.search("^test = ", block, re.MULTILINE)]
    assert len(blocks) == 2
    for block in blocks:
        found = run(block, folder, monkeypatch)
        np.testing.assert_allclose(found["test"].t if hasattr(found["test"], "t") else found["latents"].t, expected)


@pytest.mark.slow
def test_the_recipes_need_no_extension(folder: Path):
    """With the specification inside the file alone, all but those that import the extension's package."""
    program = "\n".join(block for block in BLOCKS if "ndx_mivae" not in block)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules['ndx_mivae'] = None\n{program}"],
        capture_output=True, text=True, timeout=180, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
