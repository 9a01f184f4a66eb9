from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.archive import Asset, parse_address
from nwb_mivae.archive.asset import checked_asset_path
from nwb_mivae.errors import ArchiveError


@pytest.mark.parametrize(
    ("text", "instance", "dandiset", "version", "path"),
    [
        ("dandi://000728", "dandi", "000728", None, None),
        ("dandi://000728/", "dandi", "000728", None, None),
        ("dandi://000728@draft", "dandi", "000728", "draft", None),
        ("dandi://000728@0.240827.1809/sub-1/a.nwb", "dandi", "000728", "0.240827.1809", "sub-1/a.nwb"),
        ("dandi://dandi-sandbox/000728/sub-1/a.nwb", "dandi-sandbox", "000728", None, "sub-1/a.nwb"),
    ],
)
def test_addresses_are_read(text: str, instance: str, dandiset: str, version: str | None, path: str | None) -> None:
    address = parse_address(text)

    assert (address.instance, address.dandiset, address.version, address.path) == (instance, dandiset, version, path)


@pytest.mark.parametrize(
    "text",
    ["", "000728", "dandi://728", "dandi://000728@1", "https://example.org/000728", "dandi://000728@draft@draft"],
)
def test_other_texts_are_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(ArchiveError, match="dandi://DANDISET"):
        parse_address(text)


@pytest.mark.parametrize("path", ["../x.nwb", "a/../../x", "/etc/passwd", "a\\..\\b", "C:/x", "", "a\nb"])
def test_paths_that_leave_their_folder_are_refused(path: str) -> None:
    with pytest.raises(ArchiveError, match="leaves its folder"):
        checked_asset_path(path, address="dandi://000999")


def test_an_address_with_dots_is_refused() -> None:
    with pytest.raises(ArchiveError, match="leaves its folder"):
        parse_address("dandi://000728/../../etc/passwd")


segment = st.text("abcXYZ019-_+.", min_size=1).filter(lambda text: text not in (".", ".."))


@given(
    dandiset=st.from_regex(r"[0-9]{6}", fullmatch=True),
    version=st.sampled_from(["draft", "0.240827.1809"]),
    instance=st.sampled_from(["dandi", "dandi-sandbox"]),
    path=st.lists(segment, min_size=1, max_size=4).map("/".join),
)
def test_an_assets_address_reads_back(dandiset: str, version: str, instance: str, path: str) -> None:
    asset = Asset(instance, dandiset, version, path, "id", 1, {})

    address = parse_address(asset.address)

    assert (address.instance, address.dandiset, address.version, address.path) == (instance, dandiset, version, path)


def test_an_asset_of_an_archive_without_a_name_has_the_address_of_its_api() -> None:
    asset = Asset("http://127.0.0.1:1/api", "000999", "draft", "a.nwb", "some-id", 1, {})

    assert asset.address == "http://127.0.0.1:1/api/dandisets/000999/versions/draft/assets/some-id/"
