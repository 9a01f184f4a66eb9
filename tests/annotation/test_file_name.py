from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.annotation import annotated_name


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
