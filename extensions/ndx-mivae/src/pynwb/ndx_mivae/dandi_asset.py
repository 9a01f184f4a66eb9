"""Where an asset lies in a DANDI archive: in parts that can be searched, and as one address.

Version 0.1.0 of the schema had the address only. It is written still, because that version of the package opens no
table of training sessions without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

__all__ = ["ASSET_PARTS", "asset_address", "asset_parts", "asset_problems"]

#: The parts of where an asset lies, as columns of a table are called.
ASSET_PARTS = ("dandi_instance", "dandiset_id", "dandiset_version", "asset_path", "asset_id")

_ADDRESS = re.compile(
    r"dandi(?:://(?:(?P<name>[A-Za-z][A-Za-z0-9-]*)/)?|\+(?P<api>https?://[^@?#\s]+?)/)"
    r"(?P<dandiset_id>[0-9]{6})(?:@(?P<dandiset_version>[^/#]+))?(?:/(?P<asset_path>.*?))?"
    r"(?:#asset=(?P<asset_id>[0-9A-Za-z-]+))?",
    re.DOTALL,
)


def asset_parts(address: str) -> dict[str, str]:
    """The parts in an address ``dandi://[INSTANCE/]DANDISET[@VERSION][/PATH][#asset=ID]``; empty where it says nothing.

    A text of another form has no parts that could be told apart: all are empty.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return dict.fromkeys(ASSET_PARTS, "")
    # nwb_mivae left out the name of the public archive, and only that, where it knew the asset.
    instance = match["name"] or match["api"] or ("dandi" if match["asset_id"] else "")
    return {"dandi_instance": instance} | {name: match[name] or "" for name in ASSET_PARTS[1:]}


def asset_address(parts: Mapping[str, str]) -> str:
    """The address that says the same as the parts; empty if there is no dandiset."""
    if not parts["dandiset_id"]:
        return ""
    instance = parts["dandi_instance"]
    if "://" in instance:
        start = f"dandi+{instance.rstrip('/')}/"
    else:
        start = "dandi://" if instance in ("", "dandi") else f"dandi://{instance}/"
    marks = (("@", "dandiset_version"), ("/", "asset_path"), ("#asset=", "asset_id"))
    return start + parts["dandiset_id"] + "".join(mark + parts[part] for mark, part in marks if parts[part])


def asset_problems(name: str, parts: Mapping[str, str], address: str, prefix: str = "") -> list[str]:
    """What is wrong with the parts of where an asset lies and its address; what is empty is unknown."""
    problems = []
    if address != asset_address(parts) and any(asset_parts(address).values()):
        problems.append(
            f"'{name}': {prefix}dandi_asset is {address!r}, but the parts given say {asset_address(parts)!r}; leave "
            "one of both out"
        )
    dandiset, path = parts.get("dandiset_id"), parts.get("asset_path")
    if dandiset and not re.fullmatch(r"[0-9]{6}", dandiset):
        problems.append(f"'{name}': {prefix}dandiset_id is {dandiset!r}, but must be six digits")
    if path and (path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts):
        problems.append(
            f"'{name}': {prefix}asset_path is {path!r}, but must be a path inside the dandiset, with '/' and no '..'"
        )
    unplaced = [part for part in ("dandiset_version", "asset_path") if parts.get(part)]
    if unplaced and not dandiset:
        problems.append(f"'{name}': {prefix}{unplaced[0]} is given, but {prefix}dandiset_id is not")
    return problems
