"""Posteriors of latent spaces: over time, and for each presentation of a stimulus."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from hdmf.utils import AllowPositional, docval, get_docval, popargs
from pynwb import TimeSeries, register_class

from ndx_mivae.checks import shape_of, space_problem, values_in_memory
from ndx_mivae.model import MIVAEModel

__all__ = ["LatentSeries", "PresentationLatents"]

_MODEL = {"name": "model", "type": MIVAEModel, "doc": "the model that gave these values", "default": None}
_SPACE = {
    "name": "space",
    "type": str,
    "doc": "latent space: neural_shared, neural_private, stimulus_shared or stimulus_private",
}


def _variance_problems(name: str, mean: Any, variance: Any) -> list[str]:
    """Reasons why ``variance`` cannot be the variance that belongs to ``mean``."""
    found, expected = shape_of(variance), shape_of(mean)
    if found is not None and expected is not None and tuple(found) != tuple(expected):
        return [f"'{name}': variance has shape {tuple(found)}, but the mean has shape {tuple(expected)}"]
    values = values_in_memory(variance)
    if values is not None and np.any(values < 0):
        return [f"'{name}': variance has {int(np.sum(values < 0))} negative values"]
    return []


@register_class("LatentSeries", "ndx-mivae")
class LatentSeries(TimeSeries):
    """Posterior of a latent space over time: mean in ``data`` and ``variance``, both (time, latent)."""

    __nwbfields__ = ("variance", "space", "model")

    @docval(
        *get_docval(TimeSeries.__init__, "name"),
        {
            "name": "data",
            "type": ("array_data", "data", TimeSeries),
            "shape": (None, None),
            "doc": "posterior mean, (time, latent)",
        },
        _SPACE,
        {
            "name": "variance",
            "type": ("array_data", "data"),
            "shape": (None, None),
            "doc": "posterior variance, of the shape of data",
            "default": None,
        },
        _MODEL,
        {"name": "unit", "type": str, "doc": "unit; latents have none", "default": "a.u."},
        *get_docval(
            TimeSeries.__init__,
            "resolution",
            "conversion",
            "timestamps",
            "starting_time",
            "rate",
            "comments",
            "description",
            "control",
            "control_description",
            "offset",
            "continuity",
        ),
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        variance, space, model = popargs("variance", "space", "model", kwargs)
        super().__init__(**kwargs)
        problems = [space_problem(self.name, "space", space)]
        if variance is not None:
            problems += _variance_problems(self.name, self.fields["data"], variance)
        for problem in filter(None, problems):
            self._error_on_new_warn_on_construct(problem)
        self.variance = variance
        self.space = space
        self.model = model


@register_class("PresentationLatents", "ndx-mivae")
class PresentationLatents(DynamicTable):
    """Posterior of a latent space for each presentation: columns ``presentation``, ``mean`` and ``variance``.

    ``mean`` and ``variance`` are (presentation, bin, latent), NaN where a bin holds no posterior.
    """

    __fields__ = ("space", "model", "bin_offsets_in_seconds")

    __columns__ = (
        {"name": "presentation", "description": "Row of the table of presentations.", "required": True, "table": True},
        {"name": "mean", "description": "Posterior mean; NaN where a bin has none.", "required": True},
        {"name": "variance", "description": "Posterior variance; NaN where a bin has none."},
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this table"},
        _SPACE,
        {
            "name": "bin_offsets_in_seconds",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "start of each bin in seconds from the onset of the presentation, increasing",
        },
        {
            "name": "description",
            "type": str,
            "doc": "what the table holds",
            "default": "Posterior of a latent space for each presentation, in time bins from its onset.",
        },
        _MODEL,
        *get_docval(DynamicTable.__init__, "id", "columns", "colnames", "target_tables"),
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        space, offsets, model = popargs("space", "bin_offsets_in_seconds", "model", kwargs)
        super().__init__(**kwargs)
        problems = [space_problem(self.name, "space", space)]
        values = values_in_memory(offsets)
        if values is not None and np.any(np.diff(values) <= 0):
            problems.append(f"'{self.name}': bin_offsets_in_seconds do not increase")
        problems += self._column_problems(shape_of(offsets))
        for problem in filter(None, problems):
            self._error_on_new_warn_on_construct(problem)
        self.space = space
        self.bin_offsets_in_seconds = offsets
        self.model = model

    def _column_problems(self, offsets: tuple[int | None, ...] | None) -> list[str]:
        columns = {column.name: column.data for column in self.columns}
        problems = []
        shape = shape_of(columns["mean"]) if "mean" in columns else None
        if shape is not None and shape != (0,):
            if len(shape) != 3:
                problems.append(
                    f"'{self.name}': mean has shape {tuple(shape)}, but must be (presentation, bin, latent)"
                )
            elif offsets is not None and shape[1] != offsets[0]:
                problems.append(f"'{self.name}': mean has {shape[1]} bins, but there are {offsets[0]} bin offsets")
            if "variance" in columns:
                problems += _variance_problems(self.name, columns["mean"], columns["variance"])
        return problems

    def _error_on_new_warn_on_construct(self, problem: str) -> None:
        # pynwb gives this to its own containers; DynamicTable is hdmf's.
        if not self._in_construct_mode:
            raise ValueError(problem)
        warnings.warn(problem, stacklevel=3)

    @classmethod
    def of_arrays(
        cls, *, table: DynamicTable, rows: Any, mean: Any, variance: Any = None, **fields: Any
    ) -> PresentationLatents:
        """Make the table from arrays at once; ``rows`` are rows of ``table``, the table of presentations."""
        described = {column["name"]: column["description"] for column in cls.__columns__}
        columns = [
            DynamicTableRegion(name="presentation", description=described["presentation"], data=rows, table=table),
            VectorData(name="mean", description=described["mean"], data=mean),
        ]
        if variance is not None:
            columns.append(VectorData(name="variance", description=described["variance"], data=variance))
        return cls(columns=columns, **fields)
