"""What an archive is told of a dandiset: added to what is known already, never in its place, and checked by its schema.

Descriptions are dictionaries in the form of :mod:`dandischema`, as the archive sends and takes them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from nwb_mivae.archive.address import Address
from nwb_mivae.errors import ArchiveError

__all__ = ["archive_urls", "check_metadata", "derived_from", "merge_metadata", "person", "software_activity"]


def derived_from(source: Address) -> dict[str, Any]:
    """A ``Resource``: the dandiset, or the one asset, that something was derived from."""
    from nwb_mivae.archive.client import resolve_instance

    instance = resolve_instance(source.instance)
    version = source.version or "draft"
    known = "://" not in instance.name
    resource: dict[str, Any] = {"schemaKey": "Resource", "relation": "dcite:IsDerivedFrom"}
    api = f"{instance.api.rstrip('/')}/dandisets/{source.dandiset}/versions/{version}"
    if source.asset_id is not None:
        resource |= {
            "name": source.path or source.asset_id,
            "identifier": f"dandiasset:{source.asset_id}",
            "url": f"{api}/assets/{source.asset_id}/",
        }
    else:
        resource |= {"name": f"Dandiset {source.dandiset}", "resourceType": "dcite:Dataset"}
        if known:
            resource["identifier"] = f"{instance.name.upper()}:{source.dandiset}/{version}"
        resource["url"] = (
            f"{instance.gui.rstrip('/')}/dandiset/{source.dandiset}/{version}" if instance.gui else f"{api}/"
        )
    if known:
        resource["repository"] = instance.name
    return resource


def archive_urls(instance: str | None = None) -> list[str]:
    """Where an archive is: its pages, if it is known to have any, and its API; as ``repository`` of a description."""
    from nwb_mivae.archive.client import resolve_instance

    return [url.rstrip("/") for url in resolve_instance(instance).urls()]


def software_activity(kind: str, name: str, software: str, version: str) -> dict[str, Any]:
    """A ``Project`` or ``Activity`` in which a version of a program made something."""
    return {
        "schemaKey": kind,
        "name": name,
        "wasAssociatedWith": [{"schemaKey": "Software", "name": software, "version": version}],
    }


def person(text: str) -> dict[str, Any]:
    """A ``Person`` from ``Last, First`` or ``Last, First <address@host>``; whoever has an address may be written to."""
    name, _, rest = text.partition("<")
    email = rest.strip().removesuffix(">").strip()
    roles = ["dcite:Author", *(["dcite:ContactPerson"] if email else [])]
    found = {"schemaKey": "Person", "name": name.strip(), "roleName": roles, "includeInCitation": True}
    return found | ({"email": email} if email else {})


def merge_metadata(known: Mapping[str, Any], more: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add to a description what it does not say yet.

    Lists get the entries they lack (two resources are one if relation and identifier or address are equal, people and
    activities if their names are), other fields are set where they are empty. Nothing is changed or taken away.

    Returns
    -------
    dict, dict
        The description with the additions, and the additions alone.
    """
    merged, added = copy.deepcopy(dict(known)), {}
    for field, value in more.items():
        present = merged.get(field)
        if isinstance(value, list) and isinstance(present, list):
            new = [entry for entry in value if not any(_are_one(entry, other) for other in present)]
            if new:
                merged[field] = [*present, *copy.deepcopy(new)]
                added[field] = new
        elif present in (None, "", [], {}) and value not in (None, "", [], {}):
            merged[field] = copy.deepcopy(value)
            added[field] = value
    return merged, added


def _are_one(entry: Any, other: Any) -> bool:
    if entry == other:
        return True
    if not isinstance(entry, Mapping) or not isinstance(other, Mapping):
        return False
    if any(entry.get(name) != other.get(name) for name in ("schemaKey", "relation")):
        return False
    for name in ("identifier", "url", "name"):
        if entry.get(name) and other.get(name):
            return str(entry[name]).rstrip("/") == str(other[name]).rstrip("/")
    return False


def check_metadata(metadata: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Refuse a dandiset's description whose ``fields`` are not as the archive's schema has them.

    Fields that are missing are no fault: the archive fills in some, and a draft may lack others until it is published.

    Raises
    ------
    ArchiveError
        Naming each fault.
    """
    from dandischema.models import Dandiset
    from pydantic import ValidationError

    try:
        Dandiset.model_validate(dict(metadata))
    except ValidationError as problem:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in problem.errors()
            if fault["loc"][:1] and fault["loc"][0] in fields and not _may_wait(fault)
        ]
        if faults:
            raise ArchiveError(
                f"a description that DANDI's schema does not allow ({'; '.join(faults)})",
                expected="names as 'Last, First <address@host>', a title of at most 150 characters, and one of the "
                "archive's licenses (spdx:CC-BY-4.0 or spdx:CC0-1.0)",
                remedy="correct what was given",
            ) from problem


def _may_wait(fault: Mapping[str, Any]) -> bool:
    # Who may be written to must be known when the dandiset is published, not before.
    return fault["type"] == "missing" or "At least one contributor must have role ContactPerson" in fault["msg"]
