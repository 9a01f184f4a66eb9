from __future__ import annotations

from typing import Any

import pytest

from nwb_mivae.archive import AssetContents, assets_contents, find_assets
from nwb_mivae.archive.contents import contents_of
from nwb_mivae.errors import ArchiveError
from tests.archive.stub_archive import StubArchive

METADATA: dict[str, Any] = {
    "wasAttributedTo": [
        {
            "schemaKey": "Participant",
            "identifier": "M7",
            "species": {"name": "Mus musculus - House mouse"},
            "sex": {"name": "Female"},
            "age": {"value": "P90D"},
        }
    ],
    "wasGeneratedBy": [
        {"schemaKey": "Activity", "name": "conversion"},
        {"schemaKey": "Session", "name": "StimB", "startDate": "2025-01-01T00:00:00Z"},
    ],
    "variableMeasured": [{"value": "RoiResponseSeries"}, {"value": "ImageSeries"}],
    "approach": [{"name": "microscopy approach; cell population imaging"}],
    "measurementTechnique": [{"name": "two-photon microscopy technique"}],
}


def test_what_an_asset_holds_is_asked_of_the_archive_and_not_of_the_file(archive: StubArchive) -> None:
    archive.add("raw/a.nwb", b"a", metadata=METADATA)
    archive.add("sub-2/sub-2_behavior+ophys.nwb", b"b")
    assets = find_assets("000999", instance=archive.url)

    one, two = assets_contents(assets)

    assert one == AssetContents(
        subject="M7",
        species="Mus musculus - House mouse",
        sex="Female",
        age="P90D",
        session="StimB",
        start="2025-01-01T00:00:00Z",
        variables=("ImageSeries", "RoiResponseSeries"),
        approaches=("microscopy approach; cell population imaging",),
        techniques=("two-photon microscopy technique",),
        modalities=("image", "ophys"),
    )
    assert two == AssetContents(subject="2", modalities=("behavior", "ophys"))
    assert one.as_dict()["subject"] == "M7"
    assert archive.downloads() == []


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"wasAttributedTo": None, "variableMeasured": "Units", "approach": [None, 3, {"name": None}]},
        {"wasAttributedTo": [{"schemaKey": "Participant", "species": "mouse", "age": {"value": 3}}]},
        {"wasGeneratedBy": {"schemaKey": "Session"}, "measurementTechnique": [["a"]]},
    ],
)
def test_metadata_may_lack_or_misspell_anything(metadata: dict[str, Any]) -> None:
    assert contents_of("a.nwb", metadata) == AssetContents()


def test_an_asset_that_is_gone_is_said(archive: StubArchive) -> None:
    archive.add("a.nwb", b"a")
    assets = find_assets("000999", instance=archive.url)
    archive.assets.clear()

    with pytest.raises(ArchiveError, match="nothing under this address"):
        assets_contents(assets)
