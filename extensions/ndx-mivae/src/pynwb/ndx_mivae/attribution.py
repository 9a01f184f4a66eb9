"""Attribution of latents to what they were computed from: cells (ROIs or sorted units) and pixels of the stimulus."""

from __future__ import annotations

from typing import Any

from hdmf.common import DynamicTable, DynamicTableRegion
from hdmf.utils import AllowPositional, docval, get_docval, popargs, popargs_to_dict
from pynwb import TimeSeries, register_class
from pynwb.core import NWBDataInterface
from pynwb.image import ImageSeries
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation, RoiResponseSeries

from ndx_mivae.checks import (
    json_problem,
    number_problem,
    region_problems,
    report,
    shape_of,
    shapes_differ,
    space_problem,
)
from ndx_mivae.model import MIVAEModel

__all__ = ["RoiAttributionSeries", "StimulusAttributionSeries", "UnitAttributionSeries"]

_FIELDS = ("method", "target", "baseline", "settings", "per_latent", "model")
_METHOD_ARGUMENTS = (
    {"name": "method", "type": str, "doc": "method, for example 'score' or 'fisher'"},
    {
        "name": "target",
        "type": str,
        "doc": "latent space traced back: neural_shared, neural_private, stimulus_shared or stimulus_private",
    },
    {
        "name": "baseline",
        "type": str,
        "doc": "what the attribution is relative to: the point of evaluation or the reference input",
        "default": None,
    },
    {"name": "settings", "type": str, "doc": "settings of the method as JSON", "default": None},
    {"name": "model", "type": MIVAEModel, "doc": "the model that gave these values", "default": None},
)
_TIME_ARGUMENTS = get_docval(
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
)
_UNIT = {"name": "unit", "type": str, "doc": "unit of the attribution", "default": "a.u."}


def _arrays(dimensions: str, length: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments ``data`` and ``per_latent`` of a series whose samples have these dimensions."""
    return (
        {
            "name": "data",
            "type": ("array_data", "data", TimeSeries),
            "shape": (None,) * length,
            "doc": f"attribution, (time, {dimensions})",
        },
        {
            "name": "per_latent",
            "type": ("array_data", "data"),
            "shape": (None,) * length,
            "doc": f"attribution of each latent summarised over time, (latent, {dimensions})",
            "default": None,
        },
    )


class _Attribution:
    """What the three series share; a mix-in, since each extends another core type."""

    def _set_attribution(self, fields: dict[str, Any]) -> None:
        name = self.name  # type: ignore[attr-defined]
        problems = [
            space_problem(name, "target", fields["target"]),
            number_problem(name, "data", self.fields["data"]),  # type: ignore[attr-defined]
            number_problem(name, "per_latent", fields["per_latent"]),
        ]
        if fields["settings"] is not None:
            problems.append(json_problem(name, "settings", fields["settings"]))
        shape, summary = shape_of(self.fields["data"]), shape_of(fields["per_latent"])  # type: ignore[attr-defined]
        if shape is not None and summary is not None and shapes_differ(shape[1:], summary[1:]):
            problems.append(
                f"'{name}': per_latent has shape {tuple(summary)}, but data has shape {tuple(shape)}; all but "
                "the first dimension must be equal"
            )
        report(self, problems)
        for key, value in fields.items():
            setattr(self, key, value)

    def _check_cells(self, what: str, region: DynamicTableRegion, kind: type[DynamicTable]) -> None:
        name = self.name  # type: ignore[attr-defined]
        shape, cells = shape_of(self.fields["data"]), shape_of(region.data)  # type: ignore[attr-defined]
        problems = []
        if shape is not None and cells is not None and shapes_differ(shape[1:2], cells):
            problems.append(f"'{name}': data has {shape[1]} columns, but {what} has {cells[0]} rows")
        report(self, [*problems, *region_problems(name, what, region, (kind,))])


@register_class("RoiAttributionSeries", "ndx-mivae")
class RoiAttributionSeries(_Attribution, RoiResponseSeries):
    """Attribution of latents to ROIs over time, (time, ROI); ``rois`` are the attributed ROIs."""

    __nwbfields__ = _FIELDS

    @docval(
        *get_docval(RoiResponseSeries.__init__, "name"),
        *_arrays("ROI", 2),
        *get_docval(RoiResponseSeries.__init__, "rois"),
        *_METHOD_ARGUMENTS,
        _UNIT,
        *_TIME_ARGUMENTS[:-1],  # RoiResponseSeries knows no continuity
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(_FIELDS, kwargs)
        super().__init__(**kwargs)
        self._check_cells("rois", self.rois, PlaneSegmentation)
        self._set_attribution(fields)


@register_class("UnitAttributionSeries", "ndx-mivae")
class UnitAttributionSeries(_Attribution, TimeSeries):
    """Attribution of latents to sorted units over time, (time, unit); ``units`` are rows of the Units table."""

    __nwbfields__ = (*_FIELDS, {"name": "units", "child": True, "required_name": "units"})

    @docval(
        *get_docval(TimeSeries.__init__, "name"),
        *_arrays("unit", 2),
        {"name": "units", "type": DynamicTableRegion, "doc": "rows of the Units table, one per column of data"},
        *_METHOD_ARGUMENTS,
        _UNIT,
        *_TIME_ARGUMENTS,
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict(_FIELDS, kwargs)
        units = popargs("units", kwargs)
        super().__init__(**kwargs)
        self.units = units
        self._check_cells("units", units, Units)
        self._set_attribution(fields)


@register_class("StimulusAttributionSeries", "ndx-mivae")
class StimulusAttributionSeries(_Attribution, ImageSeries):
    """Attribution of latents to pixels over time, (time, y, x): rows and columns of the frame, y downwards."""

    __nwbfields__ = (*_FIELDS, "stimulus")

    @docval(
        *get_docval(ImageSeries.__init__, "name"),
        *_arrays("y, x", 3),
        *_METHOD_ARGUMENTS,
        {"name": "stimulus", "type": NWBDataInterface, "doc": "the stimulus these pixels are of", "default": None},
        _UNIT,
        *_TIME_ARGUMENTS[:-1],  # ImageSeries knows no continuity
        # Other arguments of ImageSeries describe files outside, cameras and axes; none of them fits here.
        {"name": "format", "type": str, "doc": "format of the pixels", "default": "raw"},
        allow_positional=AllowPositional.ERROR,
    )
    def __init__(self, **kwargs: Any) -> None:
        fields = popargs_to_dict((*_FIELDS, "stimulus"), kwargs)
        stimulus = fields.pop("stimulus")
        super().__init__(**kwargs)
        self._set_attribution(fields)
        self.stimulus = stimulus
