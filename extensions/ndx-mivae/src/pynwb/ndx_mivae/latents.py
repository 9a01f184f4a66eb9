"""Posteriors of latent spaces: over time, and for each presentation of a stimulus."""

from __future__ import annotations

from typing import Any

import numpy as np
from hdmf.common import DynamicTableRegion
from hdmf.utils import AllowPositional, docval, get_docval, popargs, popargs_to_dict
from pynwb import TimeSeries, register_class
from pynwb.core import NWBDataInterface

from ndx_mivae.checks import (
    increasing_problem,
    number_problem,
    region_problems,
    report,
    shape_of,
    shapes_differ,
    space_problem,
    values_in_memory,
)
from ndx_mivae.model import MIVAEModel

__all__ = ["LatentSeries", "PresentationLatents"]

_MODEL = {"name": "model", "type": MIVAEModel, "doc": "the model that gave these values", "default": None}
_SPACE = {
    "name": "space",
    "type": str,
    "doc": "latent space: neural_shared, neural_private, stimulus_shared or stimulus_private",
}


def _variance_problems(name: str, mean: Any, variance: Any) -> list[str | None]:
    """Reasons why ``variance`` cannot be the variance that belongs to ``mean``."""
    found, expected = shape_of(variance), shape_of(mean)
    if shapes_differ(found, expected):
        return [f"'{name}': variance has shape {tuple(found)}, but the mean has shape {tuple(expected)}"]
    problem = number_problem(name, "variance", variance)
    values = values_in_memory(variance)
    if problem is None and values is not None and np.any(values < 0):
        problem = f"'{name}': variance has {int(np.sum(values < 0))} negative values"
    return [problem]


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
        problems = [space_problem(self.name, "space", space), number_problem(self.name, "data", self.fields["data"])]
        if variance is not None:
            problems += _variance_problems(self.name, self.fields["data"], variance)
        report(self, problems)
        self.variance = variance
        self.space = space
        self.model = model


@register_class("PresentationLatents", "ndx-mivae")
class PresentationLatents(NWBDataInterface):
    """Posterior of a latent space for each presentation: ``mean`` and ``variance``, both (presentation, bin, latent).

    ``presentations`` are the rows of the table of presentations. Values are NaN where a bin holds no posterior.
    """

    __nwbfields__ = (
        "description",
        {"name": "presentations", "child": True, "required_name": "presentations"},
        "mean",
        "variance",
        "bin_offsets_in_seconds",
        "space",
        "model",
    )

    @docval(
        {"name": "name", "type": str, "doc": "name of this object"},
        {
            "name": "presentations",
            "type": DynamicTableRegion,
            "doc": "rows of a table of presentations, one per row of mean",
        },
        {
            "name": "mean",
            "type": ("array_data", "data"),
            "shape": (None, None, None),
            "doc": "posterior mean, (presentation, bin, latent)",
        },
        {
            "name": "bin_offsets_in_seconds",
            "type": ("array_data", "data"),
            "shape": (None,),
            "doc": "start of each bin in seconds from the onset of the presentation, increasing",
        },
        _SPACE,
        {
            "name": "variance",
            "type": ("array_data", "data"),
            "shape": (None, None, None),
            "doc": "posterior variance, of the shape of mean",
            "default": None,
        },
        {
            "name": "description",
            "type": str,
            "doc": "what these latents are of, and how they were binned",
            "default": "Posterior of a latent space for each presentation, in time bins from its onset.",
        },
        _MODEL,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(
            ("presentations", "mean", "variance", "bin_offsets_in_seconds", "space", "description", "model"), kwargs
        )
        super().__init__(**kwargs)
        report(self, self._problems(fields))
        for name, value in fields.items():
            setattr(self, name, value)

    def _problems(self, fields: dict[str, Any]) -> list[str | None]:
        problems: list[str | None] = [space_problem(self.name, "space", fields["space"])]
        shape = shape_of(fields["mean"])
        rows, bins = shape_of(fields["presentations"].data), shape_of(fields["bin_offsets_in_seconds"])
        if shape is not None and rows is not None and shapes_differ(shape[:1], rows):
            problems.append(f"'{self.name}': mean has {shape[0]} rows, but presentations has {rows[0]}")
        if shape is not None and bins is not None and shapes_differ(shape[1:2], bins):
            problems.append(f"'{self.name}': mean has {shape[1]} bins, but there are {bins[0]} bin offsets")
        problems += [
            *region_problems(self.name, "presentations", fields["presentations"]),
            increasing_problem(self.name, "bin_offsets_in_seconds", fields["bin_offsets_in_seconds"]),
            number_problem(self.name, "mean", fields["mean"]),
        ]
        if fields["variance"] is not None:
            problems += _variance_problems(self.name, fields["mean"], fields["variance"])
        return problems
