from __future__ import annotations

import copy
from typing import Any

import pytest
from dandischema.models import Activity, Person, Project, Resource
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.archive import derived_from, merge_metadata, parse_address, person, software_activity

TEXTS = st.sampled_from(["", "a", "b"])
RESOURCES = st.fixed_dictionaries(
    {"schemaKey": st.just("Resource"), "relation": TEXTS}, optional={"identifier": TEXTS, "url": TEXTS, "name": TEXTS}
)
FIELDS = st.dictionaries(
    st.sampled_from(["name", "keywords", "relatedResource", "license"]),
    TEXTS | st.none() | st.lists(TEXTS, max_size=3) | st.lists(RESOURCES, max_size=3),
)


@given(FIELDS, FIELDS)
def test_nothing_is_lost_and_a_second_time_adds_nothing(known: dict[str, Any], more: dict[str, Any]) -> None:
    before = copy.deepcopy(known)
    merged, added = merge_metadata(known, more)

    assert known == before
    for field, value in before.items():
        if isinstance(value, list) and value:
            assert merged[field][: len(value)] == value
        elif value:
            assert merged[field] == value
    assert (merged == before) == (not added)
    assert merge_metadata(merged, added) == (merged, {})


@pytest.mark.parametrize(
    ("address", "identifier", "url"),
    [
        (
            "dandi://000728@0.240827.1809/a.nwb",
            "DANDI:000728/0.240827.1809",
            "https://dandiarchive.org/dandiset/000728/0.240827.1809",
        ),
        ("dandi://000728/a.nwb", "DANDI:000728/draft", "https://dandiarchive.org/dandiset/000728/draft"),
        (
            "dandi://dandi-sandbox/200001@draft/a.nwb",
            "DANDI-SANDBOX:200001/draft",
            "https://sandbox.dandiarchive.org/dandiset/200001/draft",
        ),
        (
            "dandi+https://lab.org/api/000001@draft/a.nwb",
            None,
            "https://lab.org/api/dandisets/000001/versions/draft/",
        ),
        (
            "dandi://000728@0.240827.1809/sub-1/a.nwb#asset=12-ab",
            "dandiasset:12-ab",
            "https://api.dandiarchive.org/api/dandisets/000728/versions/0.240827.1809/assets/12-ab/",
        ),
    ],
)
def test_a_source_is_named_so_that_it_is_found(address: str, identifier: str | None, url: str) -> None:
    resource = derived_from(parse_address(address))
    assert (resource.get("identifier"), resource["url"]) == (identifier, url)
    assert Resource.model_validate(resource).relation.value == "dcite:IsDerivedFrom"


def test_a_source_is_one_whether_its_address_ends_in_a_slash_or_not() -> None:
    one = {"schemaKey": "Resource", "relation": "dcite:IsDerivedFrom", "url": "https://a.org/b/"}
    assert merge_metadata({"relatedResource": [one]}, {"relatedResource": [{**one, "url": one["url"][:-1]}]})[1] == {}


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [("Doe, Jane", "Doe, Jane", None), ("Doe, Jane A. <j@example.org>", "Doe, Jane A.", "j@example.org")],
)
def test_people_are_named_as_dandi_names_them(text: str, name: str, email: str | None) -> None:
    found = Person.model_validate(person(text))
    assert (found.name, found.email) == (name, email)
    assert ("dcite:ContactPerson" in [role.value for role in found.roleName]) == (email is not None)


def test_software_is_named_with_its_version_and_no_identifier_is_invented() -> None:
    for kind, model in (("Project", Project), ("Activity", Activity)):
        (software,) = model.model_validate(
            software_activity(kind, "Annotation", "nwb_mivae", "0.2.0")
        ).wasAssociatedWith
        assert (software.name, software.version, software.identifier, software.url) == (
            "nwb_mivae",
            "0.2.0",
            None,
            None,
        )
