"""What is known of each cell: the subpopulation it belongs to, and its functional fingerprint."""

from __future__ import annotations

from typing import Any

import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion
from hdmf.utils import AllowPositional, docval, get_docval, popargs_to_dict
from pynwb import TimeSeries, register_class
from pynwb.core import NWBDataInterface
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation

from ndx_mivae.checks import (
    increasing_problem,
    integer_problem,
    json_problem,
    length_problem,
    number_problem,
    range_problem,
    region_problems,
    report,
    shape_of,
    shapes_differ,
    space_problem,
    values_in_memory,
)
from ndx_mivae.model import MIVAEModel
from ndx_mivae.tables import TABLE_ARGUMENTS, given_row

__all__ = ["FunctionalFingerprints", "Subpopulations", "SubpopulationsTable"]

_TABLES = (PlaneSegmentation, Units)
_SETTINGS = {"name": "settings", "type": str, "doc": "settings of the method as JSON", "default": None}
_MODEL = {"name": "model", "type": MIVAEModel, "doc": "the model that gave these values", "default": None}


def _cells(of: str) -> dict[str, Any]:
    return {
        "name": "cells",
        "type": DynamicTableRegion,
        "doc": f"rows of a PlaneSegmentation or the Units table, one per {of}",
    }


@register_class("SubpopulationsTable", "ndx-mivae")
class SubpopulationsTable(DynamicTable):
    """Subpopulations of cells, one row each: ``profile``, ``n_cells`` and any further statistics."""

    __columns__ = (
        {
            "name": "profile",
            "description": "Time course that the cells of the subpopulation have in common.",
            "required": True,
        },
        {"name": "n_cells", "description": "Number of cells in the subpopulation.", "required": True},
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this table", "default": "table"},
        {
            "name": "description",
            "type": str,
            "doc": "what the table holds",
            "default": "Subpopulations of cells, one row each.",
        },
        *TABLE_ARGUMENTS,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        report(self, _table_problems(self.name, self["profile"].data, self["n_cells"].data))

    def add_row(self, *args: Any, **kwargs: Any) -> None:
        """Add a subpopulation; columns are given by name, or all in one mapping."""
        given = given_row(args, kwargs)
        profile, n_cells = ([given[name]] if name in given else [] for name in ("profile", "n_cells"))
        report(self, _table_problems(self.name, profile, n_cells))
        if len(self):
            bins = (shape_of(self["profile"].data) or (None, None))[1]
            report(self, [length_problem(self.name, "profile", each, "each profile before", bins) for each in profile])
        super().add_row(*args, **kwargs)


def _table_problems(name: str, profiles: Any, n_cells: Any) -> list[str | None]:
    shape = shape_of(profiles)
    problems = [
        number_problem(name, "profile", profiles),
        integer_problem(name, "n_cells", n_cells),
        range_problem(name, "n_cells", n_cells, 0, np.inf),
    ]
    if shape is not None and shape[0] and len(shape) != 2:
        problems.insert(0, f"'{name}': profile has shape {tuple(shape)}, but must be (subpopulation, bin)")
    return problems


@register_class("Subpopulations", "ndx-mivae")
class Subpopulations(NWBDataInterface):
    """Cells of one table grouped by the time course of their attribution; ``subpopulation`` are rows of ``table``."""

    __nwbfields__ = (
        "description",
        "method",
        "target",
        "settings",
        {"name": "cells", "child": True, "required_name": "cells"},
        "subpopulation",
        "confidence",
        "bin_offsets_in_seconds",
        {"name": "table", "child": True, "required_name": "table"},
        "model",
        "attribution",
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this object", "default": "subpopulations"},
        _cells("value of subpopulation"),
        {
            "name": "subpopulation",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "row of table that each cell belongs to; -1 where it belongs to none",
        },
        {
            "name": "bin_offsets_in_seconds",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "start of each bin of the profiles in seconds from the onset of a clip, increasing",
        },
        {"name": "table", "type": SubpopulationsTable, "doc": "the subpopulations"},
        {"name": "method", "type": str, "doc": "how cells were grouped"},
        {
            "name": "target",
            "type": str,
            "doc": "latent space whose attribution was grouped: neural_shared, neural_private, stimulus_shared or "
            "stimulus_private",
        },
        {
            "name": "description",
            "type": str,
            "doc": "what was grouped, and how to read the groups",
            "default": "Cells grouped by the time course of their attribution.",
        },
        {
            "name": "confidence",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "how clearly each cell belongs to its subpopulation, -1 to 1; NaN where it belongs to none",
            "default": None,
        },
        _SETTINGS,
        _MODEL,
        {"name": "attribution", "type": TimeSeries, "doc": "the attribution that was grouped", "default": None},
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        names = [field["name"] for field in get_docval(Subpopulations.__init__) if field["name"] != "name"]
        fields = popargs_to_dict(names, kwargs)
        super().__init__(**kwargs)
        report(self, self._problems(fields))
        for name, value in fields.items():
            setattr(self, name, value)

    def _problems(self, fields: dict[str, Any]) -> list[str | None]:
        name, cells, table = self.name, fields["cells"], fields["table"]
        n_cells = (shape_of(cells.data) or (None,))[0]
        problems = [
            space_problem(name, "target", fields["target"]),
            *region_problems(name, "cells", cells, _TABLES),
            length_problem(name, "subpopulation", fields["subpopulation"], "cells", n_cells),
            integer_problem(name, "subpopulation", fields["subpopulation"]),
            _rows_problem(name, fields["subpopulation"], len(table)),
            increasing_problem(name, "bin_offsets_in_seconds", fields["bin_offsets_in_seconds"]),
        ]
        if fields["confidence"] is not None:
            problems += [
                length_problem(name, "confidence", fields["confidence"], "cells", n_cells),
                number_problem(name, "confidence", fields["confidence"]),
                range_problem(name, "confidence", fields["confidence"], -1, 1),
            ]
        if fields["settings"] is not None:
            problems.append(json_problem(name, "settings", fields["settings"]))
        profile = shape_of(table["profile"].data)
        if profile is not None and len(profile) == 2:
            bins = fields["bin_offsets_in_seconds"]
            problems.append(length_problem(name, "bin_offsets_in_seconds", bins, "each profile", profile[1]))
        return problems


def _rows_problem(name: str, data: Any, n_rows: int) -> str | None:
    rows = values_in_memory(data)
    if rows is None or not rows.size or rows.dtype.kind not in "iu" or (rows.min() >= -1 and rows.max() < n_rows):
        return None
    return (
        f"'{name}': subpopulation has values from {rows.min()} to {rows.max()}, but must name one of the {n_rows} "
        "rows of table, counted from 0, or be -1"
    )


@register_class("FunctionalFingerprints", "ndx-mivae")
class FunctionalFingerprints(NWBDataInterface):
    """What each cell of one table responds to: ``data`` (cell, lag, feature of the stimulus)."""

    __nwbfields__ = (
        "description",
        "method",
        "settings",
        {"name": "cells", "child": True, "required_name": "cells"},
        "data",
        "lags_in_seconds",
        "model",
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this object", "default": "fingerprints"},
        _cells("row of data"),
        {
            "name": "data",
            "type": ("array_data", "data"),
            "shape": (None, None, None),
            "doc": "fingerprints, (cell, lag, feature)",
        },
        {
            "name": "lags_in_seconds",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "how long before the activity the stimulus was shown, in seconds, increasing",
        },
        {"name": "method", "type": str, "doc": "how they were computed"},
        {
            "name": "description",
            "type": str,
            "doc": "what was computed, and from which data",
            "default": "Relation of each cell's activity to features of the stimulus shown before.",
        },
        _SETTINGS,
        _MODEL,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        names = [field["name"] for field in get_docval(FunctionalFingerprints.__init__) if field["name"] != "name"]
        fields = popargs_to_dict(names, kwargs)
        super().__init__(**kwargs)
        report(self, self._problems(fields))
        for name, value in fields.items():
            setattr(self, name, value)

    def _problems(self, fields: dict[str, Any]) -> list[str | None]:
        name, lags = self.name, fields["lags_in_seconds"]
        n_cells = (shape_of(fields["cells"].data) or (None,))[0]
        problems = [
            *region_problems(name, "cells", fields["cells"], _TABLES),
            length_problem(name, "data", fields["data"], "cells", n_cells),
            increasing_problem(name, "lags_in_seconds", lags),
            number_problem(name, "data", fields["data"]),
        ]
        shape, n_lags = shape_of(fields["data"]), shape_of(lags)
        if shape is not None and n_lags is not None and shapes_differ(shape[1:2], n_lags):
            problems.append(f"'{name}': data has {shape[1]} lags, but there are {n_lags[0]} lags_in_seconds")
        if fields["settings"] is not None:
            problems.append(json_problem(name, "settings", fields["settings"]))
        return problems
