from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.annotation import annotated_name
from nwb_mivae.errors import AnnotationError


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("sub-1_ses-2_behavior+image+ophys.nwb", "sub-1_ses-2_desc-mivae_behavior+image+ophys.nwb"),
        ("sub-4_ses-4_ecephys+image.nwb", "sub-4_ses-4_desc-mivae_ecephys+image.nwb"),
        ("sub-1.nwb", "sub-1_desc-mivae.nwb"),
        ("sub-1_ophys.nwb", "sub-1_desc-mivae_ophys.nwb"),
        ("sub-1_ses-2-acq-3_ophys.nwb", "sub-1_ses-2-acq-3_desc-mivae_ophys.nwb"),
        ("sub-1_ses-2_obj-raw_ophys.nwb", "sub-1_ses-2_desc-mivae_obj-raw_ophys.nwb"),
        ("sub-1_cell-7_desc-dff_probe-2_ecephys.nwb", "sub-1_cell-7_desc-dff-mivae_probe-2_ecephys.nwb"),
        ("/data/sub-1/sub-1_ses-2_ophys.nwb", "sub-1_ses-2_desc-mivae_ophys.nwb"),
        ("recording.nwb", "recording_desc-mivae.nwb"),
        ("A8604-211122.nwb", "A8604-211122_desc-mivae.nwb"),
    ],
)
def test_the_name_stays_in_the_layout_of_dandi(source: str, expected: str):
    assert annotated_name(source) == expected


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("sub-1_ses-2_behavior+image+ophys.nwb", {"form": "companion"}, "sub-1_ses-2_desc-mivae_ophys.nwb"),
        ("sub-1_ses-2_ecephys+image.nwb", {"form": "companion"}, "sub-1_ses-2_desc-mivae_ecephys.nwb"),
        ("sub-1_ses-2_behavior.nwb", {"form": "companion"}, "sub-1_ses-2_desc-mivae.nwb"),
        ("sub-1_ses-2_ophys.nwb", {"backend": "zarr"}, "sub-1_ses-2_desc-mivae_ophys.nwb.zarr"),
        ("sub-1_ses-2_ophys.nwb.zarr", {}, "sub-1_ses-2_desc-mivae_ophys.nwb"),
        ("sub-1_ses-2_ophys.nwb.zarr/", {"backend": "zarr"}, "sub-1_ses-2_desc-mivae_ophys.nwb.zarr"),
        ("sub-1_ses-2_ophys.nwb", {"name": "mivae_2"}, "sub-1_ses-2_desc-mivae-2_ophys.nwb"),
        ("sub-1_desc-mivae_ophys.nwb", {"name": "mivae_2"}, "sub-1_desc-mivae-2_ophys.nwb"),
        ("sub-1_desc-mivae-2_ophys.nwb", {"name": "mivae_3"}, "sub-1_desc-mivae-3_ophys.nwb"),
        ("sub-1_desc-dff-mivae_ophys.nwb", {"name": "mivae_2"}, "sub-1_desc-dff-mivae-2_ophys.nwb"),
        ("sub-1_desc-mivae_ophys.nwb", {}, "sub-1_desc-mivae-mivae_ophys.nwb"),
        ("recording_desc-mivae.nwb", {"name": "mivae_2"}, "recording_desc-mivae-2.nwb"),
        ("sub-1_ophys.nwb", {"name": "pilot_run"}, "sub-1_desc-pilot-run_ophys.nwb"),
        ("dandi://000728@0.1/sub-1/sub-1_ses-2_ophys.nwb", {"form": "companion"}, "sub-1_ses-2_desc-mivae_ophys.nwb"),
        ("https://server.org/sub-1_ses-a%2Fb_ophys.nwb?sig=1", {}, "sub-1_ses-a-b_desc-mivae_ophys.nwb"),
        ("https://server.org/blobs/abc", {}, "abc_desc-mivae.nwb"),
    ],
)
def test_form_format_and_name_are_in_the_name(source: str, options: dict[str, Any], expected: str):
    assert annotated_name(source, **options) == expected


@pytest.mark.parametrize("options", [{"name": "a/b"}, {"name": "Mivae"}, {"form": "move"}, {"backend": "csv"}])
def test_what_is_no_name_form_or_format_is_refused(options: dict[str, Any]):
    with pytest.raises(AnnotationError):
        annotated_name("sub-1.nwb", **options)


VALUES = st.from_regex(r"[A-Za-z0-9+-]{1,8}", fullmatch=True)


@given(
    subject=VALUES,
    session=st.none() | VALUES,
    keys=st.dictionaries(st.sampled_from(["tis", "slice", "cell", "desc", "probe", "obj"]), VALUES),
    modalities=st.lists(st.sampled_from(["behavior", "image", "ophys", "ecephys"]), unique=True),
)
def test_every_name_of_the_layout_gives_another_one(subject, session, keys, modalities):
    import re

    # As `dandi organize` accepts names; its own pattern is private to it.
    value = r"[^_*\\/<>:|\"'?%@;.]+"
    layout = rf"sub-{value}(_ses-{value})?(_(tis|slice|cell|desc|probe|obj)-{value})*(_[a-z]+(\+[a-z]+)*)?\.nwb"
    parts = [f"sub-{subject}", *([f"ses-{session}"] if session else []), *(f"{key}-{keys[key]}" for key in keys)]
    source = "_".join(parts + (["+".join(modalities)] if modalities else [])) + ".nwb"
    name = annotated_name(source)
    assert re.fullmatch(layout, name)
    assert name != source
    assert name.count("desc-") >= 1
    assert name.endswith(("+".join(modalities) if modalities else "") + ".nwb")
