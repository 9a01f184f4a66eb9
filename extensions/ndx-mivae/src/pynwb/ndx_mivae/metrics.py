"""How well latents agree between modalities and sessions, with the controls such figures need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from hdmf.common import DynamicTable, VectorData
from hdmf.utils import AllowPositional, docval, popargs_to_dict
from pynwb import register_class

from ndx_mivae.checks import (
    bool_problem,
    integer_problem,
    json_problem,
    number_problem,
    range_problem,
    report,
    values_in_memory,
)
from ndx_mivae.model import MIVAEModel
from ndx_mivae.tables import TABLE_ARGUMENTS, given_row

__all__ = ["AlignmentMetricsTable"]

# What a figure of a known name can be; others are the user's own and may be anything.
_RANGES = {"top1": (0, 1), "top5": (0, 1), "paired_r": (-1, 1), "unpaired_r": (-1, 1), "centred_r": (-1, 1)}
_FLAGS, _FIGURES = ("is_control", "held_out"), ("value", "chance")
_CHECKED = ("metric", "n_clips", *_FLAGS, *_FIGURES)
_TYPES = {**dict.fromkeys(_FLAGS, np.bool_), "n_clips": np.int64, **dict.fromkeys(_FIGURES, np.float64)}


@register_class("AlignmentMetricsTable", "ndx-mivae")
class AlignmentMetricsTable(DynamicTable):
    """A row for each figure: metric, condition, whether it is a control, value, chance, clips, session."""

    __fields__ = ("settings", "model")
    __columns__ = (
        {"name": "metric", "description": "Name of the figure, for example 'top1' or 'paired_r'.", "required": True},
        {"name": "condition", "description": "What the model was shown and how.", "required": True},
        {"name": "is_control", "description": "Whether the figure is a control.", "required": True},
        {"name": "value", "description": "The figure; NaN where it could not be computed.", "required": True},
        {"name": "chance", "description": "Value chance would give; NaN where there is none.", "required": True},
        {"name": "n_clips", "description": "Clips the figure was computed from.", "required": True},
        {
            "name": "other_session",
            "description": "Session compared with; empty where modalities of this one are.",
            "required": True,
        },
        {
            "name": "held_out",
            "description": "Whether the animal, or one of the two, was held out of training.",
            "required": True,
        },
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this table", "default": "alignment_metrics"},
        {
            "name": "description",
            "type": str,
            "doc": "what the table holds",
            "default": "How well latents agree between modalities or sessions; controls among the rows.",
        },
        {"name": "settings", "type": str, "doc": "settings of the evaluation as JSON", "default": None},
        {"name": "model", "type": MIVAEModel, "doc": "the model that was evaluated", "default": None},
        *TABLE_ARGUMENTS,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(("settings", "model"), kwargs)
        super().__init__(**kwargs)
        if fields["settings"] is not None:
            report(self, [json_problem(self.name, "settings", fields["settings"])])
        report(self, _problems(self.name, {name: self[name].data for name in _CHECKED}))
        for name, value in fields.items():
            setattr(self, name, value)

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]], **fields: Any) -> AlignmentMetricsTable:
        """Make the table from one mapping of column to value per figure; ``fields`` are the constructor's.

        Raises
        ------
        KeyError
            If a row lacks a column.
        ValueError
            If a row has a name that is no column, or a value is not what its column holds.
        """
        rows = list(rows)
        names = [column["name"] for column in cls.__columns__]
        unknown = sorted(set().union(*rows) - set(names))
        if unknown:
            raise ValueError(
                f"no column {', '.join(unknown)}; the columns are {', '.join(names)}, and others are added to the "
                "table by add_column"
            )
        # Row by row and before they are of one type, which any value can be made.
        where = str(fields.get("name", "alignment_metrics"))
        for number, row in enumerate(rows):
            for problem in _problems(f"{where}, row {number}", {name: [row[name]] for name in _CHECKED}):
                if problem is not None:
                    raise ValueError(problem)
        columns = []
        for column in cls.__columns__:
            values = [row[column["name"]] for row in rows]
            kind = _TYPES.get(column["name"])
            data = values if kind is None else np.asarray(values, dtype=kind)
            columns.append(VectorData(name=column["name"], description=column["description"], data=data))
        return cls(columns=columns, **fields)

    def add_row(self, *args: Any, **kwargs: Any) -> None:
        """Add a figure; columns are given by name, or all in one mapping."""
        given = given_row(args, kwargs)
        report(self, _problems(self.name, {name: [given[name]] for name in _CHECKED if name in given}))
        super().add_row(*args, **kwargs)


def _problems(name: str, columns: Mapping[str, Any]) -> list[str | None]:
    n_clips = columns.get("n_clips", [])
    problems = [
        *(bool_problem(name, flag, columns.get(flag, [])) for flag in _FLAGS),
        *(number_problem(name, figure, columns.get(figure, [])) for figure in _FIGURES),
        integer_problem(name, "n_clips", n_clips),
        range_problem(name, "n_clips", n_clips, 0, np.inf),
    ]
    metrics = values_in_memory(columns.get("metric", []))
    for of in _FIGURES:
        values = values_in_memory(columns.get(of, []))
        if metrics is None or values is None or metrics.shape != values.shape:
            continue
        problems += [
            range_problem(name, f"{of} of {metric}", values[metrics == metric], lowest, highest)
            for metric, (lowest, highest) in _RANGES.items()
        ]
    return problems
