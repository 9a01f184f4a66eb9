from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from pynwb import NWBFile
from pynwb.base import Images
from pynwb.image import GrayscaleImage

from nwb_mivae.sessions import Session, SessionsConfiguration, read_session
from nwb_mivae.sessions.masks import Masks
from tests.nwb_files import add_plane, add_traces, new_file, write


def session_with(tmp_path: Path, *, n_rois: int = 2, configuration: Any = None, **plane: Any) -> Session:
    nwbfile = new_file()
    add_traces(nwbfile, add_plane(nwbfile, n_rois, **plane), np.zeros((20, n_rois), dtype=np.float32))
    return read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration)


def positions(session: Session) -> np.ndarray:
    session.close()
    return session.cells[["x", "y", "z"]].to_numpy(dtype=float)


def said(session: Session) -> str:
    return " | ".join(finding.message for finding in session.findings)


def test_a_pixel_mask_gives_its_weighted_centre(tmp_path: Path) -> None:
    masks = [[(0, 10, 1.0), (4, 10, 3.0)], [(7, 1, 0.5), (7, 3, 0.5)]]
    session = session_with(tmp_path, masks=masks, grid_spacing=(2e-6, 3e-6), origin=(100e-6, -50e-6, 200e-6))
    np.testing.assert_allclose(positions(session), [[106, -20, 200], [114, -44, 200]], rtol=1e-6)


def test_an_image_mask_has_x_first(tmp_path: Path) -> None:
    mask = np.zeros((5, 9), dtype=np.float32)
    mask[1, 8] = mask[3, 8] = 2.0
    session = session_with(tmp_path, masks=[mask, mask], mask_kind="image_mask")
    np.testing.assert_allclose(positions(session), [[4, 16, 200]] * 2, rtol=1e-6)


def test_a_voxel_mask_has_its_own_depth(tmp_path: Path) -> None:
    masks = [[(1, 2, 3, 1.0)], [(1, 2, 5, 1.0), (1, 2, 7, 1.0)]]
    session = session_with(
        tmp_path, masks=masks, mask_kind="voxel_mask", grid_spacing=(1e-6, 1e-6, 10e-6), origin=(0.0, 0.0, 100e-6)
    )
    np.testing.assert_allclose(positions(session), [[1, 2, 130], [1, 2, 160]], rtol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "unit"), [((0.78e-3, 0.78e-3), "millimeters"), ((0.78, 0.78), "um"), ((0.78e-6, 0.78e-6), "meters")]
)
def test_units_become_micrometres(tmp_path: Path, spacing: tuple[float, float], unit: str) -> None:
    session = session_with(tmp_path, grid_spacing=spacing, grid_spacing_unit=unit, masks=[[(10, 20, 1.0)]] * 2)
    np.testing.assert_allclose(positions(session)[:, :2], [[7.8, 15.6]] * 2, rtol=1e-6)


def test_metres_that_cannot_be_are_micrometres(tmp_path: Path) -> None:
    session = session_with(tmp_path, grid_spacing=(0.78, 0.78), masks=[[(10, 20, 1.0)]] * 2)
    np.testing.assert_allclose(positions(session)[:, :2], [[7.8, 15.6]] * 2, rtol=1e-6)
    assert "'meters' cannot be the unit; um was taken" in said(session)


def test_an_unknown_unit_is_a_guess(tmp_path: Path) -> None:
    session = session_with(tmp_path, grid_spacing=(2.0, 2.0), grid_spacing_unit="furlongs")
    assert positions(session)[1, 0] == pytest.approx(2.0)
    assert "furlongs" in said(session)


def test_without_a_pixel_size_there_are_no_coordinates(tmp_path: Path) -> None:
    session = session_with(tmp_path, grid_spacing=None, origin=None)
    assert np.isnan(positions(session)).all()
    assert "micrometres_per_pixel" in said(session)
    given = session_with(
        tmp_path, grid_spacing=None, origin=None, configuration=SessionsConfiguration(micrometres_per_pixel=0.5)
    )
    np.testing.assert_allclose(positions(given)[:, :2], [[0, 0], [0.5, 1.0]])
    assert np.isnan(positions(given)[:, 2]).all()
    assert "depth of the cells is not known" in said(given)
    assert "no origin" in said(given)


def test_an_empty_mask_is_unknown_and_counted(tmp_path: Path) -> None:
    masks = [np.zeros((4, 4), dtype=np.float32), np.eye(4, dtype=np.float32)]
    session = session_with(tmp_path, masks=masks, mask_kind="image_mask")
    found = positions(session)
    assert np.isnan(found[0, :2]).all()
    np.testing.assert_allclose(found[1, :2], [3.0, 3.0])
    assert "1 of 2 masks are empty" in said(session)


def ellipses(n_rois: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n, height, width), rows first, and their centres (n, 2) as column and row."""
    random = np.random.default_rng(3)
    masks, centres = np.zeros((n_rois, height, width), dtype=np.float32), []
    for mask in masks:
        row, column = random.integers(2, height - 2), random.integers(3, width - 3)
        mask[row - 1 : row + 2, column - 2 : column + 3] = 1.0
        centres.append((column, row))
    return masks, np.array(centres, dtype=float)


def add_picture(nwbfile: NWBFile, picture: np.ndarray, name: str = "average") -> None:
    images = Images(
        name=f"summary_{name}", description="of the plane", images=[GrayscaleImage(name=name, data=picture)]
    )
    nwbfile.processing["ophys"].add(images)


@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize("size", [(40, 60), (50, 50)])
@pytest.mark.parametrize("kind", ["image_mask", "pixel_mask"])
def test_a_picture_of_the_plane_tells_which_axis_is_x(
    tmp_path: Path, rows_first: bool, size: tuple[int, int], kind: str
) -> None:
    masks, centres = ellipses(12, *size)
    stored: Any = masks if rows_first else masks.transpose(0, 2, 1)
    if kind == "pixel_mask":
        stored = [[(int(a), int(b), 1.0) for a, b in np.argwhere(mask)] for mask in stored]
    nwbfile = new_file()
    table = add_plane(nwbfile, 12, masks=list(stored), mask_kind=kind, grid_spacing=(1e-6, 1e-6), origin=None)
    add_traces(nwbfile, table, np.zeros((20, 12)))
    add_picture(nwbfile, 30 + 100 * masks.max(axis=0) + np.random.default_rng(0).normal(0, 10, size))
    path = write(nwbfile, tmp_path / "a.nwb")
    own = tmp_path / "own.yaml"
    for axes in ("y, x", "x, y"):
        own.write_text(f"layouts: [{{name: mine, objects: [processing/ophys/*], picture_axes: '{axes}'}}]")
        session = read_session(path, configuration=SessionsConfiguration(conventions=str(own)))
        expected = centres if axes == "y, x" else centres[:, ::-1]
        np.testing.assert_allclose(positions(session)[:, :2], expected, atol=1e-5)
        assert ("y first and x second, unlike in NWB" in said(session)) == (rows_first == (axes == "y, x"))
        assert "summary_average/average` of the plane shows" in said(session)
    # Of which axes the picture has nothing is known: it may have x first, as NWB says of pictures, too.
    session = read_session(path)
    np.testing.assert_allclose(positions(session)[:, :2], centres[:, ::-1] if rows_first else centres, atol=1e-5)
    assert ("average` lies as they do" in said(session)) == rows_first


def test_a_picture_that_shows_nothing_decides_nothing(tmp_path: Path) -> None:
    masks, centres = ellipses(12, 50, 50)
    nwbfile = new_file()
    table = add_plane(nwbfile, 12, masks=list(masks), mask_kind="image_mask", grid_spacing=(1e-6, 1e-6), origin=None)
    add_traces(nwbfile, table, np.zeros((20, 12)))
    add_picture(nwbfile, np.random.default_rng(0).normal(0, 10, (50, 50)))
    session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    np.testing.assert_allclose(positions(session)[:, :2], centres[:, ::-1], atol=1e-5)
    assert "nothing tells which axis of the masks is x" in said(session)
    own = tmp_path / "own.yaml"
    own.write_text("layouts: [{name: mine, objects: [processing/ophys/*], mask_axes: 'y, x'}]")
    told = read_session(tmp_path / "a.nwb", configuration=SessionsConfiguration(conventions=str(own)))
    np.testing.assert_allclose(positions(told)[:, :2], centres, atol=1e-5)
    assert "as known of mine" in said(told)


def test_a_picture_of_another_plane_decides_nothing(tmp_path: Path) -> None:
    masks, centres = ellipses(12, 50, 50)
    nwbfile = new_file()
    for name in ("VISp_0", "VISp_1"):
        table = add_plane(
            nwbfile, 12, name=name, masks=list(masks), mask_kind="image_mask", grid_spacing=(1e-6, 1e-6), origin=None
        )
        add_traces(nwbfile, table, np.zeros((20, 12)), name=name)
    add_picture(nwbfile, masks.max(axis=0), name="VISp_1_average")
    own = tmp_path / "own.yaml"
    own.write_text("layouts: [{name: mine, objects: [processing/ophys/*], picture_axes: 'y, x'}]")
    configuration = SessionsConfiguration(conventions=str(own))
    found = positions(read_session(write(nwbfile, tmp_path / "a.nwb"), configuration=configuration))
    np.testing.assert_allclose(found[:12, :2], centres[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(found[12:, :2], centres, atol=1e-5)


@pytest.mark.parametrize("rows_first", [True, False])
def test_boxes_tell_the_axes_and_spare_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_first: bool
) -> None:
    masks, centres = ellipses(60, 200, 200)
    columns = {
        "x": centres[:, 0] - 2, "y": (centres[:, 1] - 1).astype(int), "width": [5] * 60, "height": [3] * 60,
    }  # fmt: skip
    nwbfile = new_file()
    stored = masks if rows_first else masks.transpose(0, 2, 1)
    table = add_plane(
        nwbfile, 60, masks=list(stored), mask_kind="image_mask", columns=columns, grid_spacing=(1e-6, 1e-6), origin=None
    )
    add_traces(nwbfile, table, np.zeros((20, 60)))
    path = write(nwbfile, tmp_path / "a.nwb")
    mask_path = "processing/ophys/ImageSegmentation/rois_of_plane/image_mask"
    with h5py.File(path, "r+") as file:
        attributes = dict(file[mask_path].attrs)
        del file[mask_path]
        file[mask_path] = stored
        file[mask_path].attrs.update(attributes)
    read: list[int] = []
    original = h5py.Dataset.__getitem__

    def watched(self: h5py.Dataset, *arguments: Any) -> Any:
        result = original(self, *arguments)
        if self.name == f"/{mask_path}":
            read.append(np.size(result))
        return result

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    session = read_session(path)
    np.testing.assert_allclose(positions(session)[:, :2], centres, atol=1e-5)
    assert "the boxes around them" in said(session)
    assert sum(size == 15 for size in read) == 60
    assert sum(read) < 51 * 200 * 200


def test_boxes_that_do_not_hold_the_masks_are_not_believed(tmp_path: Path) -> None:
    masks, centres = ellipses(6, 30, 40)
    columns = {name: [1] * 6 for name in ("x", "y", "width", "height")}
    session = session_with(
        tmp_path, n_rois=6, masks=list(masks.transpose(0, 2, 1)), mask_kind="image_mask", columns=columns,
        grid_spacing=(1e-6, 1e-6),
    )  # fmt: skip
    np.testing.assert_allclose(positions(session)[:, :2], centres, atol=1e-5)
    assert "nothing tells" in said(session)


@pytest.mark.parametrize("chunks", [None, (1, 32, 48), (5, 8, 16), (12, 4, 4)])
@pytest.mark.parametrize("block", [1, 3000, 1 << 24])
def test_centroids_do_not_depend_on_how_masks_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, ...] | None, block: int
) -> None:
    monkeypatch.setattr("nwb_mivae.sessions.masks._BLOCK_BYTES", block)
    random = np.random.default_rng(1)
    stored = np.where(random.random((12, 32, 48)) < 0.02, random.random((12, 32, 48)), 0.0).astype(np.float32)
    stored[3], stored[4, 2, 2], stored[5, 1, 1] = 0.0, np.nan, -4.0
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        data = file.create_dataset("masks", data=stored, chunks=chunks)
        masks = Masks({"image_mask": SimpleNamespace(data=data)}, "image_mask")
        rows = np.array([7, 3, 4, 5, 11, 0])
        found = masks.centroids(rows)
        pixels = masks.pixels(rows)
    for number, row in enumerate(rows):
        weight = np.where(np.isfinite(stored[row]) & (stored[row] > 0), stored[row], 0)
        where = np.nonzero(weight)
        assert sorted(zip(*pixels[number], strict=True)) == sorted(zip(*where, strict=True))
        expected = [np.average(axis, weights=weight[where]) for axis in where] if len(where[0]) else [np.nan] * 2
        np.testing.assert_allclose(found[number], expected, rtol=1e-6)


def test_micrometres_called_metres_are_told_in_the_origin_too(tmp_path: Path) -> None:
    session = session_with(tmp_path, grid_spacing=(0.78, 0.78), origin=(100.0, 50.0, 200.0))
    np.testing.assert_allclose(positions(session), [[100, 50, 200], [100.78, 51.56, 200]])
    alone = session_with(tmp_path, grid_spacing=(2e-6, 2e-6), origin=(10.0, 20.0, 175.0))
    np.testing.assert_allclose(positions(alone), [[10, 20, 175], [12, 24, 175]], rtol=1e-6)
    assert "origin_coords [10.0, 20.0, 175.0]: 'meters' cannot be the unit; um was taken" in said(alone)


def test_a_spacing_possible_in_no_unit_is_not_used(tmp_path: Path) -> None:
    session = session_with(tmp_path, grid_spacing=(1e15, 1e15))
    assert np.isnan(positions(session)[:, :2]).all()
    assert "possible in no unit of length" in said(session)


@pytest.mark.parametrize(
    ("description", "depth"),
    [
        ("(512, 512) field of view in VISp at depth 175 um", 175.0),
        ("400 um x 400 um, depth: 275.5 µm below pia", 275.5),
        ("imaged 310 microns below the pia in a field of 400 um", 310.0),
        ("layer 2/3, 250um", 250.0),
        ("field of 400 um x 300 um", None),
        ("{depth} um deep", None),
        ("plane 3", None),
    ],
)
def test_depth_from_the_description_of_the_plane(tmp_path: Path, description: str, depth: float | None) -> None:
    nwbfile = new_file()
    table = add_plane(nwbfile, 2, origin=None)
    add_traces(nwbfile, table, np.zeros((20, 2)))
    path = write(nwbfile, tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        stored = file["general/optophysiology/plane/description"]
        stored[()] = description
    session = read_session(path)
    found = positions(session)[:, 2]
    assert np.isnan(found).all() if depth is None else (found == depth).all()
    assert ("depth of the cells is not known" in said(session)) == (depth is None)


def test_a_pixel_size_may_be_known_of_the_layout(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("layouts: [{name: mine, objects: [processing/ophys/*], micrometres_per_pixel: 0.78}]")
    session = session_with(tmp_path, grid_spacing=None, configuration=SessionsConfiguration(conventions=str(own)))
    np.testing.assert_allclose(positions(session), [[0, 0, 200], [0.78, 1.56, 200]], rtol=1e-6)
    assert "0.78 um was taken" in said(session)


@pytest.mark.parametrize("location", ["Structure: VISp Depth: 175", "area: VISp,depth: 175"])
def test_area_and_depth_told_in_the_location(tmp_path: Path, location: str) -> None:
    session = session_with(tmp_path, location=location, origin=(0.0, 0.0, 0.0))
    assert (positions(session)[:, 2] == 175).all()
    assert session.cells["area"].tolist() == ["VISp"] * 2


def test_depth_from_lab_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynwb.file import LabMetaData

    monkeypatch.setattr(LabMetaData, "imaging_depth", 175, raising=False)
    nwbfile = new_file()
    nwbfile.add_lab_meta_data(LabMetaData(name="metadata"))
    add_traces(nwbfile, add_plane(nwbfile, 2, origin=None), np.zeros((20, 2)))
    session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    assert (positions(session)[:, 2] == 175).all()
