from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from nwb_mivae.sessions import read_session
from tests.layouts import contrast_tuning
from tests.sessions.test_stimulus import said


@pytest.mark.parametrize("epochs_in", ["frames", "seconds"])
@pytest.mark.parametrize("dandiset", ["000039", "000049"])
def test_epochs_in_frames_or_seconds(
    tmp_path: Path, dandiset: Literal["000039", "000049"], epochs_in: Literal["frames", "seconds"]
) -> None:
    truth = contrast_tuning.write(tmp_path, dandiset=dandiset, epochs_in=epochs_in)
    with read_session(truth.files[0]) as session:
        table = session.presentations[session.presentations["stimulus"] != ""]
        first = table.groupby("source_row")["start_time"].min()
        last = table.groupby("source_row")["stop_time"].max()
        np.testing.assert_allclose(first, [row.start for row in truth.presentations], atol=1e-6)
        np.testing.assert_allclose(last, [row.stop for row in truth.presentations], atol=1e-6)
        assert ("taken as samples of" in said(session, "guess")) == (epochs_in == "frames")
