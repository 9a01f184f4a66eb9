"""Figures of receptive fields against maps whose fields are known."""

from __future__ import annotations

import numpy as np

from nwb_mivae.attribution.latent_fields import latent_fields

H, W = 20, 30


def test_a_spot_has_its_centre_and_its_extent() -> None:
    rows, columns = np.mgrid[:H, :W]
    spot = 7 * np.exp(-((rows - 8) ** 2 + (columns - 12) ** 2) / (2 * 3.0**2))
    found = latent_fields(np.stack([spot, np.full((H, W), 0.3), np.zeros((H, W))]).astype(np.float32))
    np.testing.assert_allclose(found.centre[0], [12, 8], atol=0.02)
    np.testing.assert_allclose(found.centre[1], [(W - 1) / 2, (H - 1) / 2])
    np.testing.assert_allclose(found.extent[0], np.pi * 2 * np.log(2) * 3.0**2 / (H * W), rtol=0.1)
    assert found.extent[1] == 1.0
    # A tenth of the pixels is a disc of 60 around the centre.
    np.testing.assert_allclose(found.concentration[0], 1 - np.exp(-60 / np.pi / 3.0**2), rtol=0.01)
    np.testing.assert_allclose(found.concentration[1], 0.1)
    np.testing.assert_allclose(found.map.max(axis=(1, 2)), [1, 1, 0])
    assert found.map.dtype == np.float32
    for figure in (found.centre, found.extent, found.concentration):
        assert np.isnan(figure[2]).all()
