"""Every type, alone in a file of its own: every field is the same when the file, or an export of it, is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ndx_mivae.testing
import pytest
from pynwb import NWBFile
from pynwb.testing import NWBH5IOFlexMixin, TestCase

pytestmark = pytest.mark.filterwarnings("ignore:The linked table for DynamicTableRegion")


class _Roundtrip(NWBH5IOFlexMixin):
    kind: str

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # the mix-in writes where it is

    def getContainerType(self) -> str:  # noqa: N802
        return self.kind

    def addContainer(self) -> None:  # noqa: N802
        fields: dict[str, Any] = {}
        if self.kind != "MIVAEAnnotation":
            fields["model"] = ndx_mivae.testing.mock_MIVAEAnnotation(nwbfile=self.nwbfile).model
        self.name = getattr(ndx_mivae.testing, f"mock_{self.kind}")(nwbfile=self.nwbfile, **fields).name

    def getContainer(self, nwbfile: NWBFile) -> Any:  # noqa: N802
        within = nwbfile.lab_meta_data if self.kind == "MIVAEAnnotation" else nwbfile.processing["mivae"]
        return within[self.name]


class TestLatentSeries(_Roundtrip, TestCase):
    kind = "LatentSeries"


class TestPresentationLatents(_Roundtrip, TestCase):
    kind = "PresentationLatents"


class TestRoiAttributionSeries(_Roundtrip, TestCase):
    kind = "RoiAttributionSeries"


class TestUnitAttributionSeries(_Roundtrip, TestCase):
    kind = "UnitAttributionSeries"


class TestStimulusAttributionSeries(_Roundtrip, TestCase):
    kind = "StimulusAttributionSeries"


class TestSubpopulations(_Roundtrip, TestCase):
    """With the table of the subpopulations."""

    kind = "Subpopulations"


class TestFunctionalFingerprints(_Roundtrip, TestCase):
    kind = "FunctionalFingerprints"


class TestAlignmentMetricsTable(_Roundtrip, TestCase):
    kind = "AlignmentMetricsTable"


class TestMIVAEAnnotation(_Roundtrip, TestCase):
    """With the model and its training sessions."""

    kind = "MIVAEAnnotation"
