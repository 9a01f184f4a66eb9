from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.archive import Asset, is_address, is_remote, parse_address
from nwb_mivae.archive.asset import checked_asset_path, modalities_in, subject_in
from nwb_mivae.errors import ArchiveError


@pytest.mark.parametrize(
    ("text", "instance", "dandiset", "version", "path"),
    [
        ("dandi://000728", None, "000728", None, None),
        ("dandi://000728/", None, "000728", None, None),
        ("dandi://000728@draft", None, "000728", "draft", None),
        ("dandi://000728@0.240827.1809/sub-1/a.nwb", None, "000728", "0.240827.1809", "sub-1/a.nwb"),
        ("dandi://000728@draft/sub-1/", None, "000728", "draft", "sub-1/*.nwb"),
        ("dandi://000728/sub-1/*_ophys.nwb", None, "000728", None, "sub-1/*_ophys.nwb"),
        ("dandi+https://host:8/api/000728@draft/a.nwb", "https://host:8/api", "000728", "draft", "a.nwb"),
        ("dandi://dandi-sandbox/000728/sub-1/a.nwb", "dandi-sandbox", "000728", None, "sub-1/a.nwb"),
    ],
)
def test_addresses_are_read(
    text: str, instance: str | None, dandiset: str, version: str | None, path: str | None
) -> None:
    address = parse_address(text)

    assert (address.instance, address.dandiset, address.version, address.path) == (instance, dandiset, version, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "000728",
        "dandi://728",
        "dandi://000728@1",
        "https://example.org/000728",
        "dandi://000728@draft@draft",
        "dandi+https://user:password@host/api/000728",
    ],
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
    instance=st.sampled_from(["dandi", "dandi-sandbox", "http://127.0.0.1:1/api", "https://some.where/else"]),
    path=st.lists(segment, min_size=1, max_size=4).map("/".join),
    asset_id=st.uuids().map(str),
)
def test_a_pinned_address_reads_back(dandiset: str, version: str, instance: str, path: str, asset_id: str) -> None:
    asset = Asset(instance, dandiset, version, path, asset_id, 1, {})

    address = parse_address(asset.pinned_address)

    assert (address.instance, address.dandiset, address.version) == (instance, dandiset, version)
    assert (address.path, address.asset_id) == (path, asset_id)
    assert is_address(asset.address)
    assert str(parse_address(asset.address)) == asset.address


def test_addresses_urls_and_paths_are_told_apart() -> None:
    assert is_remote("https://host/a.nwb")
    assert is_remote("dandi+http://host/api/000728")
    assert not is_address("https://host/a.nwb")
    assert not is_remote("dandi/000728/a.nwb")
    assert not is_remote("/data/https/a.nwb")


@pytest.mark.parametrize(
    ("path", "subject", "modalities"),
    [
        ("sub-5/sub-5_ses-1_behavior+image+ophys.nwb", "5", ("behavior", "image", "ophys")),
        ("sub-a-b/sub-a-b_ecephys.nwb", "a-b", ("ecephys",)),
        ("sub-7/anything.nwb", "7", ()),
        ("sub-7/sub-7_ses-9_obj-raw.nwb", "7", ()),
        ("notes.nwb", "", ()),
    ],
)
def test_names_of_dandis_form_say_what_and_who(path: str, subject: str, modalities: tuple[str, ...]) -> None:
    assert subject_in(path) == subject
    assert modalities_in(path) == modalities
