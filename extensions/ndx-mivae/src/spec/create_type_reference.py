"""Write ``docs/source/types.rst``: every field of every type, as the specification says it; generated, never edited.

Run ``python src/spec/create_type_reference.py`` after a change of the specification and commit the page with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "source" / "types.rst"

_INTRODUCTION = """\
Types
=====

Every field of every type, from the specification. A field that is not required may be missing. Beside these fields a
type has those of the type it extends; for instance, every ``TimeSeries`` has ``timestamps`` or ``starting_time``.

"""


def reference(types: list[Mapping[str, Any]]) -> str:
    """The page as reStructuredText, from the groups of the specification."""
    return _INTRODUCTION + "\n".join(_section(spec) for spec in types)


def _section(spec: Mapping[str, Any]) -> str:
    name = spec["neurodata_type_def"]
    lines = [name, "-" * len(name), "", f"Extends ``{spec['neurodata_type_inc']}``. {_plain(spec['doc'])}", ""]
    lines += [".. list-table::", "   :header-rows: 1", "   :widths: 20 15 15 10 40", ""]
    for row in (("field", "kind", "type", "required", "meaning"), *_rows(spec)):
        lines += [f"   {'*' if cell is row[0] else ' '} - {cell}" for cell in row]
    return "\n".join([*lines, ""])


def _rows(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    for field in spec.get("attributes", ()):
        yield _row(field, "attribute", _type_of(field), field.get("required", True))
    for kind, what in (("datasets", "dataset"), ("groups", "group"), ("links", "link")):
        for field in spec.get(kind, ()):
            of_table = field.get("neurodata_type_inc") == "VectorData"
            yield _row(field, "column" if of_table else what, _type_of(field), field.get("quantity", 1) != "?")


def _row(field: Mapping[str, Any], kind: str, type_of: str, required: bool) -> tuple[str, str, str, str, str]:
    return f"``{field['name']}``", kind, type_of, "yes" if required else "no", _plain(field["doc"])


def _type_of(field: Mapping[str, Any]) -> str:
    kind = field.get("dtype") or field.get("neurodata_type_inc") or field.get("target_type")
    dimensions = field.get("dims", ())
    if dimensions and not isinstance(dimensions[0], str):
        dimensions = dimensions[0]
    return f"{kind} ({', '.join(dimensions)})" if dimensions else str(kind)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("`", "``")


def main(page: Path = PAGE) -> None:
    """Write the page."""
    groups = YAML(typ="safe").load((ROOT / "spec" / "ndx-mivae.extensions.yaml").read_text(encoding="utf-8"))["groups"]
    page.write_text(reference(groups), encoding="utf-8")


if __name__ == "__main__":
    main()
