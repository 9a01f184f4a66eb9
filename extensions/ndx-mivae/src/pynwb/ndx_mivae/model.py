"""Where results came from: the model, its training sessions, and the file they were added to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from hdmf.common import DynamicTable, VectorData
from hdmf.utils import AllowPositional, docval, popargs, popargs_to_dict
from pynwb import register_class
from pynwb.core import NWBContainer
from pynwb.file import LabMetaData

from ndx_mivae.checks import choice_problem, json_problem, report, sha256_problem, time_problem
from ndx_mivae.dandi_asset import ASSET_PARTS, asset_address, asset_parts, asset_problems
from ndx_mivae.tables import TABLE_ARGUMENTS, given_row

__all__ = ["FORMS", "MIVAEAnnotation", "MIVAEModel", "TrainingSessionsTable"]

#: How results come into a file: beside the exported source, into the source itself, or into a file of their own.
FORMS = ("copy", "append", "companion")


@register_class("TrainingSessionsTable", "ndx-mivae")
class TrainingSessionsTable(DynamicTable):
    """The sessions a model was trained on, one row each; texts are empty where unknown.

    Version 0.1.0 wrote where an asset lies only as one address, ``dandi_asset``. Read from such a file, the table has
    the five parts of it too, as if they had been written.
    """

    __columns__ = (
        {"name": "identifier", "description": "NWBFile.identifier of the session.", "required": True},
        {"name": "source_object_id", "description": "Object id of the session's NWBFile.", "required": True},
        {"name": "subject_id", "description": "Identifier of the subject.", "required": True},
        {"name": "file_name", "description": "Name of the NWB file, without folders.", "required": True},
        {"name": "sha256", "description": "SHA-256 digest of the NWB file, hexadecimal.", "required": True},
        {"name": "dandi_instance", "description": "DANDI instance: its name or the URL of its API."},
        {"name": "dandiset_id", "description": "Dandiset of the file: six digits."},
        {"name": "dandiset_version", "description": "Version of that dandiset."},
        {"name": "asset_path", "description": "Path of the file inside the dandiset."},
        {"name": "asset_id", "description": "Id of the asset, whose bytes never change."},
        {"name": "dandi_asset", "description": "The same as one address, dandi://...", "required": True},
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this table", "default": "training_sessions"},
        {
            "name": "description",
            "type": str,
            "doc": "what the table holds",
            "default": "Sessions the model was trained on; texts are empty where unknown.",
        },
        *TABLE_ARGUMENTS,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        if self._in_construct_mode:
            added = _columns_of_parts(kwargs["columns"] or [])
            if added:
                kwargs["columns"] = [*kwargs["columns"], *added]
                kwargs["colnames"] = [*kwargs["colnames"], *(column.name for column in added)]
        super().__init__(**kwargs)
        report(self, self._problems())

    def _problems(self) -> Iterable[str | None]:
        names = ("sha256", *ASSET_PARTS, "dandi_asset")
        columns = {name: self[name].data for name in names if name in self.colnames}
        if any(not isinstance(data, np.ndarray | list | tuple) for data in columns.values()):
            return
        for number, texts in enumerate(zip(*columns.values(), strict=True)):
            row = dict.fromkeys(names, "") | dict(zip(columns, texts, strict=True))
            yield from _row_problems(f"{self.name}, row {number}", row)

    def add_row(self, *args: Any, **kwargs: Any) -> None:
        """Add a session; columns are given by name, or all in one mapping, and left out as in :meth:`of_rows`."""
        given = given_row(args, kwargs)
        row = dict.fromkeys((column["name"] for column in self.__columns__), "") | given | _whole_asset(given)
        report(self, _row_problems(f"{self.name}, row {len(self)}", row))
        super().add_row(**row)

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, str]]) -> TrainingSessionsTable:
        """Make the table from one mapping of column to text per session; what a row leaves out is empty.

        Where an asset lies is given in parts or as the one address ``dandi_asset``; the other is filled in.

        Raises
        ------
        ValueError
            If a row has a name that is no column, or a text is not what its column holds.
        """
        columns = {column["name"]: column["description"] for column in cls.__columns__}
        whole = []
        for row in rows:
            unknown = sorted(set(row) - set(columns))
            if unknown:
                raise ValueError(f"no column {', '.join(unknown)}; the columns are {', '.join(columns)}")
            whole.append(dict.fromkeys(columns, "") | dict(row) | _whole_asset(row))
        return cls(
            columns=[
                VectorData(name=name, description=description, data=[row[name] for row in whole])
                for name, description in columns.items()
            ]
        )


def _row_problems(where: str, row: Mapping[str, str]) -> Iterable[str | None]:
    yield sha256_problem(where, "sha256", row["sha256"]) if row["sha256"] else None
    yield from asset_problems(where, row, row["dandi_asset"])


def _columns_of_parts(columns: Sequence[VectorData]) -> list[VectorData]:
    """The columns that a table read from a file lacks, but that can be told from its ``dandi_asset``."""
    by_name = {column.name: column for column in columns}
    if "dandi_asset" not in by_name or any(part in by_name for part in ASSET_PARTS):
        return []
    parts = [asset_parts(str(text)) for text in by_name["dandi_asset"].data[:]]
    described = {column["name"]: column["description"] for column in TrainingSessionsTable.__columns__}
    return [
        VectorData(name=name, description=described[name], data=[row[name] for row in parts]) for name in ASSET_PARTS
    ]


def _whole_asset(given: Mapping[str, str]) -> dict[str, str]:
    """The parts of where an asset lies and its address, of which one may have been left out."""
    address = given.get("dandi_asset", "")
    parts = {part: given.get(part, "") for part in ASSET_PARTS}
    if not any(parts.values()):
        parts = asset_parts(address)
    return parts | {"dandi_asset": address or asset_address(parts)}


@register_class("MIVAEModel", "ndx-mivae")
class MIVAEModel(NWBContainer):
    """A trained model: code version, digest of the weights, configuration as JSON, training sessions."""

    __nwbfields__ = (
        "model_name",
        "code_version",
        "weights_sha256",
        "config",
        {"name": "training_sessions", "child": True, "required_name": "training_sessions"},
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this object", "default": "model"},
        {"name": "model_name", "type": str, "doc": "name of the model, for example 'miVAE'"},
        {"name": "code_version", "type": str, "doc": "version of the software that trained the model"},
        {"name": "weights_sha256", "type": str, "doc": "SHA-256 digest of the weights' file"},
        {"name": "config", "type": str, "doc": "configuration the model can be rebuilt from, as JSON"},
        {"name": "training_sessions", "type": TrainingSessionsTable, "doc": "sessions the model was trained on"},
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(
            ("model_name", "code_version", "weights_sha256", "config", "training_sessions"), kwargs
        )
        super().__init__(**kwargs)
        report(
            self,
            (
                sha256_problem(self.name, "weights_sha256", fields["weights_sha256"]),
                json_problem(self.name, "config", fields["config"]),
            ),
        )
        for name, value in fields.items():
            setattr(self, name, value)


_SOURCE_PARTS = tuple(f"source_{part}" for part in ASSET_PARTS)
_TEXTS = (
    "source_file_name",
    "source_sha256",
    "source_identifier",
    "source_object_id",
    *_SOURCE_PARTS,
    "source_dandi_asset",
    "form",
    "code_version",
    "created",
)
_CONTEXT = ("context_clips", "context_in_minutes")


@register_class("MIVAEAnnotation", "ndx-mivae")
class MIVAEAnnotation(LabMetaData):
    """How the results in a file came about: the file they were added to, the model, and the context it was shown.

    Where the source lies in an archive is given in parts or as the one address ``source_dandi_asset``, as version 0.1.0
    wrote it; the other is filled in.
    """

    __nwbfields__ = (*_TEXTS, *_CONTEXT, {"name": "model", "child": True, "required_name": "model"})

    @docval(
        {"name": "name", "type": str, "doc": "name of this object", "default": "mivae"},
        {"name": "model", "type": MIVAEModel, "doc": "the model"},
        {"name": "source_file_name", "type": str, "doc": "name of the source file, no folders", "default": None},
        {"name": "source_sha256", "type": str, "doc": "SHA-256 digest of the source file", "default": None},
        {"name": "source_identifier", "type": str, "doc": "NWBFile.identifier of the source", "default": None},
        {"name": "source_object_id", "type": str, "doc": "object id of the source's NWBFile", "default": None},
        {"name": "source_dandi_instance", "type": str, "doc": "archive of the source: name or URL", "default": None},
        {"name": "source_dandiset_id", "type": str, "doc": "dandiset of the source: six digits", "default": None},
        {"name": "source_dandiset_version", "type": str, "doc": "version of that dandiset", "default": None},
        {"name": "source_asset_path", "type": str, "doc": "path of the source in the dandiset", "default": None},
        {"name": "source_asset_id", "type": str, "doc": "id of the source's asset", "default": None},
        {"name": "form", "type": str, "doc": "how results came here: copy, append or companion", "default": None},
        {"name": "code_version", "type": str, "doc": "version of what wrote the results", "default": None},
        {"name": "created", "type": str, "doc": "when they were written, ISO 8601 with offset", "default": None},
        {"name": "context_clips", "type": int, "doc": "clips of this session shown as context", "default": None},
        {"name": "context_in_minutes", "type": (float, int), "doc": "duration of that context", "default": None},
        {
            "name": "source_dandi_asset",
            "type": str,
            "doc": "the same as one address, dandi://...",
            "default": None,
        },
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict((*_TEXTS, *_CONTEXT), kwargs)
        model = popargs("model", kwargs)
        super().__init__(**kwargs)
        asset = _whole_asset({name: fields[f"source_{name}"] or "" for name in (*ASSET_PARTS, "dandi_asset")})
        fields.update({f"source_{name}": text or None for name, text in asset.items()})
        report(self, self._problems(fields))
        for name, value in fields.items():
            setattr(self, name, value)
        self.model = model

    def _problems(self, fields: Mapping[str, Any]) -> Iterable[str | None]:
        if fields["source_sha256"] is not None:
            yield sha256_problem(self.name, "source_sha256", fields["source_sha256"])
        if fields["form"] is not None:
            yield choice_problem(self.name, "form", fields["form"], FORMS)
        if fields["created"] is not None:
            yield time_problem(self.name, "created", fields["created"])
        parts = {part: fields[f"source_{part}"] or "" for part in ASSET_PARTS}
        yield from asset_problems(self.name, parts, fields["source_dandi_asset"] or "", "source_")
        for name in _CONTEXT:
            if fields[name] is not None and not 0 <= fields[name] < math.inf:
                yield f"'{self.name}': {name} is {fields[name]}, but must be a finite number and not negative"
