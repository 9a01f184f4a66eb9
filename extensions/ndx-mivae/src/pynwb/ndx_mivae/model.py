"""Where results came from: the model, its training sessions, and the file they were added to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hdmf.common import DynamicTable, VectorData
from hdmf.utils import AllowPositional, docval, get_docval, popargs, popargs_to_dict
from pynwb import register_class
from pynwb.core import NWBContainer
from pynwb.file import LabMetaData

from ndx_mivae.checks import json_problem, sha256_problem

__all__ = ["MIVAEAnnotation", "MIVAEModel", "TrainingSessionsTable"]


@register_class("TrainingSessionsTable", "ndx-mivae")
class TrainingSessionsTable(DynamicTable):
    """The sessions a model was trained on, one row each; texts are empty where unknown."""

    __columns__ = (
        {"name": "identifier", "description": "NWBFile.identifier of the session.", "required": True},
        {"name": "source_object_id", "description": "Object id of the session's NWBFile.", "required": True},
        {"name": "subject_id", "description": "Identifier of the subject.", "required": True},
        {"name": "file_name", "description": "Name of the NWB file, without folders.", "required": True},
        {"name": "sha256", "description": "SHA-256 digest of the NWB file, hexadecimal.", "required": True},
        {"name": "dandi_asset", "description": "DANDI asset the file was opened from.", "required": True},
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this table", "default": "training_sessions"},
        {
            "name": "description",
            "type": str,
            "doc": "what the table holds",
            "default": "Sessions the model was trained on; texts are empty where unknown.",
        },
        *get_docval(DynamicTable.__init__, "id", "columns", "colnames"),
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, str]]) -> TrainingSessionsTable:
        """Make the table from one mapping of column to text per session."""
        rows = list(rows)
        return cls(
            columns=[
                VectorData(
                    name=column["name"],
                    description=column["description"],
                    data=[row[column["name"]] for row in rows],
                )
                for column in cls.__columns__
            ]
        )


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
        for problem in (
            sha256_problem(self.name, "weights_sha256", fields["weights_sha256"]),
            json_problem(self.name, "config", fields["config"]),
        ):
            if problem is not None:
                self._error_on_new_warn_on_construct(problem)
        for name, value in fields.items():
            setattr(self, name, value)


_SOURCE = ("source_file_name", "source_sha256", "source_object_id", "source_dandi_asset")
_CONTEXT = ("context_clips", "context_in_minutes")


@register_class("MIVAEAnnotation", "ndx-mivae")
class MIVAEAnnotation(LabMetaData):
    """How the results in a file came about: the file they were added to, the model, and the context it was shown."""

    __nwbfields__ = (*_SOURCE, *_CONTEXT, {"name": "model", "child": True, "required_name": "model"})

    @docval(
        {"name": "name", "type": str, "doc": "name of this object", "default": "mivae"},
        {"name": "model", "type": MIVAEModel, "doc": "the model"},
        {"name": "source_file_name", "type": str, "doc": "name of the source file, no folders", "default": None},
        {"name": "source_sha256", "type": str, "doc": "SHA-256 digest of the source file", "default": None},
        {"name": "source_object_id", "type": str, "doc": "object id of the source's NWBFile", "default": None},
        {"name": "source_dandi_asset", "type": str, "doc": "DANDI asset of the source", "default": None},
        {"name": "context_clips", "type": int, "doc": "clips of this session shown as context", "default": None},
        {"name": "context_in_minutes", "type": float, "doc": "duration of that context", "default": None},
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict((*_SOURCE, *_CONTEXT), kwargs)
        model = popargs("model", kwargs)
        super().__init__(**kwargs)
        if fields["source_sha256"] is not None:
            problem = sha256_problem(self.name, "source_sha256", fields["source_sha256"])
            if problem is not None:
                self._error_on_new_warn_on_construct(problem)
        for name in _CONTEXT:
            if fields[name] is not None and fields[name] < 0:
                self._error_on_new_warn_on_construct(f"'{self.name}': {name} is {fields[name]}, but cannot be negative")
        for name, value in fields.items():
            setattr(self, name, value)
        self.model = model
