from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwb_mivae.sessions import Session, SessionsConfiguration, read_session
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
    assert "no microscope's pixel" in said(session)


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


def test_depth_from_lab_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pynwb.file import LabMetaData

    monkeypatch.setattr(LabMetaData, "imaging_depth", 175, raising=False)
    nwbfile = new_file()
    nwbfile.add_lab_meta_data(LabMetaData(name="metadata"))
    add_traces(nwbfile, add_plane(nwbfile, 2, origin=None), np.zeros((20, 2)))
    session = read_session(write(nwbfile, tmp_path / "a.nwb"))
    assert (positions(session)[:, 2] == 175).all()
