"""Every block of Python on the page about drawing attribution, run in turn against a file of known contents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import matplotlib
import numpy as np
import pytest
from PIL import Image
from pynwb import NWBHDF5IO
from pynwb.base import ImageReferences, Images
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries

from nwb_mivae.annotation import annotate, read_annotations
from tests.annotation.sources import (
    attribution_for,
    jittered_onsets,
    latents_for,
    model_record,
    stored_for,
    subpopulations_for,
    write_source,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/draw-attribution.md"
SECTIONS: dict[str, list[str]] = {
    section.split("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
}
FILE = "sub-m1_ses-1_desc-mivae_ophys.nwb"
CELLS = [5, 2, 0, 6]
CHOSEN = [7, 2, 4]
SPACING = 2.0
PICTURES = {
    "With nwb_mivae": ("pixels.gif", "latents.png", "cells.png", "cortex.png", "subpopulations.png"),
    "With pynwb and matplotlib": ("pixels.png", "cells.png", "cortex.png"),
}


def movie() -> np.ndarray:
    """Frames that can be told apart, larger than the maps."""
    return (np.arange(12)[:, None, None] * 20 + np.zeros((1, 8, 12))).astype(np.uint8)


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annotated file whose movie is in it, both by a series and by a table."""
    folder = tmp_path_factory.mktemp("drawing")
    source = write_source(folder / "source.nwb")
    with NWBHDF5IO(str(source), "a") as io:
        nwbfile = io.read()
        template = ImageSeries(name="movie", description="A movie.", data=movie(), rate=30.0, unit="n.a.")
        nwbfile.add_stimulus_template(template)
        pictures = [GrayscaleImage(name=f"frame{number}", data=frame) for number, frame in enumerate(movie())]
        order = ImageReferences(name="order_of_images", data=pictures)
        frames = Images(name="frames", images=pictures, description="The same frames.", order_of_images=order)
        nwbfile.add_stimulus_template(frames)
        shown = IndexSeries(
            name="shown", data=np.arange(12, dtype=np.uint32), unit="N/A", indexed_images=frames,
            timestamps=jittered_onsets(12),
        )  # fmt: skip
        nwbfile.add_stimulus(shown)
        nwbfile.intervals["natural_movie_presentations"].add_column(
            "stimulus_name", "Which movie.", data=["movie"] * 12
        )
        io.write(nwbfile)
    with h5py.File(source, "a") as file:
        spacing = file["general/optophysiology/imaging_plane"].create_dataset("grid_spacing", data=[2e-6, 2e-6])
        spacing.attrs["unit"] = "meters"
    stored = stored_for(source, shown="stimulus/presentation/shown")
    annotate(
        source, folder / FILE, latents=latents_for(stored), stored=stored, model=model_record(),
        attribution=attribution_for(stored, latents=CHOSEN), subpopulations=subpopulations_for(stored),
    )  # fmt: skip
    return folder / FILE


@pytest.fixture(scope="module", params=list(SECTIONS))
def drawn(request: pytest.FixtureRequest, annotated: Path, tmp_path_factory: pytest.TempPathFactory):
    """A section of the page, the folder it was run in, and what each of its blocks left behind."""
    folder = tmp_path_factory.mktemp("section")
    (folder / FILE).symlink_to(annotated)
    found: dict[str, Any] = {}
    after = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore")
        matplotlib.use("Agg")
        patch.chdir(folder)
        for block in SECTIONS[request.param]:
            exec(compile(block, str(PAGE), "exec"), found)
            after.append(dict(found))
        if "plt" in found:
            found["plt"].close("all")
    return request.param, folder, after


def test_the_page_has_both_ways():
    assert list(SECTIONS) == list(PICTURES)
    assert all(FILE in "".join(blocks) for blocks in SECTIONS.values())


def test_every_picture_is_written_and_shows_something(drawn):
    section, folder, _ = drawn
    for name in PICTURES[section]:
        seen = Image.open(folder / name).convert("RGB")
        assert min(seen.size) > 100, name
        assert len(seen.getcolors(seen.width * seen.height)) > 10, name


def test_the_frames_are_those_that_were_shown_at_the_attributed_times(drawn):
    section, _, after = drawn
    with_frames = [found["frames"] for found in after if "frames" in found]
    for frames in with_frames:
        np.testing.assert_array_equal(frames, movie()[-5:])
    # By the series, and for this package by the table too, which makes the same frames anew.
    assert len({id(frames) for frames in with_frames}) == (2 if section == "With nwb_mivae" else 1)


def test_cells_lie_where_their_masks_do(drawn):
    _, _, after = drawn
    found = after[-1].get("coordinates", after[-1].get("micrometres"))
    expected = SPACING * np.array([[row + 1 / 3, row] for row in CELLS])
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)


def test_the_attribution_is_that_of_the_file(drawn, annotated: Path):
    section, _, after = drawn
    stored = read_annotations(annotated)
    score = stored.attribution.methods["score"]
    if section == "With nwb_mivae":
        np.testing.assert_array_equal(after[-1]["score"].pixels, score.pixels)
        named = [found["names"] for found in after if "chosen" in found]
        assert named[0] == ["latent 7", "latent 2", "latent 4"], "those that were attributed, in their order"
    else:
        np.testing.assert_array_equal(after[-1]["of_pixels"], score.pixels)
        np.testing.assert_array_equal(after[-1]["of_cells"], score.neurons)
        # Cells in turn belong to the two groups, the last to none, so it comes last.
        assert stored.subpopulations.subpopulation[after[-1]["order"]].tolist() == [0, 0, 1, -1]


def test_the_plain_recipe_needs_nothing_of_ours(annotated: Path, tmp_path: Path):
    (tmp_path / FILE).symlink_to(annotated)
    blocks = "\n".join(SECTIONS["With pynwb and matplotlib"]).replace("import ndx_mivae\n", "")
    program = f"import sys\nsys.modules['ndx_mivae'] = sys.modules['nwb_mivae'] = None\n{blocks}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path, env={**os.environ, "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
