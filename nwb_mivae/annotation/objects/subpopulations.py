"""Subpopulations: one object for each table of cells, all with the same table of what the subpopulations are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np
from hdmf.common import VectorData

from nwb_mivae.annotation.objects.attribution import name_of_cells
from nwb_mivae.annotation.objects.tables import CellTable

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionSubpopulations

__all__ = ["subpopulations_of_cells"]


def subpopulations_of_cells(
    subpopulations: SessionSubpopulations,
    model: Any,
    series: Mapping[str, Any],
    *,
    tables: Sequence[CellTable],
) -> Iterator[Any]:
    """``Subpopulations`` of the cells of each table; ``series`` are those already made, by name."""
    method = subpopulations.attribution_method
    block = subpopulations.settings.get("block", "shared")
    for table in tables:
        yield ndx_mivae.Subpopulations(
            name=f"subpopulations{table.suffix}",
            description="Cells of the session grouped by the time course of their attribution "
            f"{subpopulations.settings.get('time_courses', 'within a clip')}.",
            method=subpopulations.method,
            target=f"neural_{block}",
            settings=json.dumps({"attribution_method": method, **subpopulations.settings}),
            cells=table.region("cells", f"Cells that were grouped: rows of {table.path}."),
            subpopulation=np.asarray(subpopulations.subpopulation[table.cells], dtype=np.int32),
            confidence=np.asarray(subpopulations.confidence[table.cells], dtype=np.float32),
            bin_offsets_in_seconds=np.asarray(subpopulations.profile_time, dtype=np.float64),
            table=_table(subpopulations),
            model=model,
            attribution=series.get(name_of_cells(method, table)),
        )


def _table(subpopulations: SessionSubpopulations) -> Any:
    """A row for each subpopulation of the session, whichever file its cells lie in."""
    members = subpopulations.subpopulation[subpopulations.subpopulation >= 0]
    columns = {
        "profile": (
            "Mean time course of the attribution to the subpopulation's cells, by bin.",
            np.asarray(subpopulations.profile, dtype=np.float32),
        ),
        "n_cells": (
            "Number of cells in the subpopulation, in all files of the session.",
            np.bincount(members, minlength=len(subpopulations.profile)).astype(np.int32),
        ),
        **{name: (text, np.asarray(values)) for name, (text, values) in subpopulations.statistics.items()},
    }
    return ndx_mivae.SubpopulationsTable(
        columns=[VectorData(name=name, description=text, data=data) for name, (text, data) in columns.items()]
    )
