"""Attribution of the latents: per method one series for each table of cells, and one for the pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable
from pynwb import TimeSeries
from pynwb.core import NWBDataInterface

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.objects.arrays import compressed, sparse
from nwb_mivae.annotation.objects.tables import CellTable
from nwb_mivae.attribution.result import CONTRIBUTIONS

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession

__all__ = ["attribution_series", "name_of_cells"]


def name_of_cells(method: str, table: CellTable) -> str:
    """Name of the series of one method's attribution to the cells of one table."""
    return f"attribution_{method}_cells{table.suffix}"


def attribution_series(
    stored: StoredSession,
    attribution: SessionAttribution,
    model: Any,
    objects: Mapping[str, Any],
    *,
    tables: Sequence[CellTable],
    frames: npt.NDArray[np.int64],
    clock: Any,
    backend: Backend,
) -> Iterator[Any]:
    """The series of every method.

    ``frames`` are the stored rows the series cover, ``clock`` their times or a series that has them.
    """
    settings = json.dumps(dict(attribution.settings))
    block = attribution.block
    # A latent of one modality is traced to that modality's own input.
    cells_target, pixels_target = f"neural_{block}", f"stimulus_{block}"
    activity = "per spike" if stored.trace_kind == "spikes" else "per standard deviation of the cell's activity"
    stimulus = _one_stimulus(stored, attribution, objects)
    place = np.searchsorted(frames, attribution.row)
    for method, maps in attribution.methods.items():
        common = {"method": method, "settings": settings, "model": model}
        for table in tables if maps.neurons.size else ():
            kind = ndx_mivae.UnitAttributionSeries if table.are_units else ndx_mivae.RoiAttributionSeries
            region = "units" if table.are_units else "rois"
            series = kind(
                name=name_of_cells(method, table),
                description=_description(attribution, method, "the activity of each cell at each frame", activity),
                unit=_unit(attribution, method),
                data=sparse(maps.neurons[:, table.cells], place, len(frames), backend),
                per_latent=compressed(maps.neurons_per_latent[:, table.cells], backend),
                target=cells_target,
                baseline=_baseline(attribution, method, pixels_target),
                timestamps=clock,
                **{region: table.region(region, f"Attributed cells: rows of {table.path}.")},
                **common,
            )
            clock = clock if isinstance(clock, TimeSeries) else series
            yield series
        if not maps.pixels.size:
            continue
        yield ndx_mivae.StimulusAttributionSeries(
            name=f"attribution_{method}_stimulus",
            description=_description(
                attribution,
                method,
                "each pixel of the frame at each frame, at the model's resolution",
                "per unit of luminance (black 0, white 1)",
            ),
            unit=_unit(attribution, method),
            data=sparse(maps.pixels, place, len(frames), backend),
            per_latent=compressed(maps.pixels_per_latent, backend),
            target=pixels_target,
            baseline=_baseline(attribution, method, cells_target),
            stimulus=stimulus,
            timestamps=clock,
            **common,
        )


def _setting(attribution: SessionAttribution, name: str, otherwise: str) -> str:
    """A setting of the attribution; files of earlier versions do not have all of them."""
    return str(attribution.settings.get("configuration", {}).get(name) or otherwise)


def _description(attribution: SessionAttribution, method: str, what: str, per_what: str) -> str:
    """Words for one series; ``per_what`` says what derivatives with respect to its source are per."""
    block = attribution.block
    summed = "summed over latents" if attribution.methods[method].signed else "root of the sum of squares over latents"
    if method not in CONTRIBUTIONS:
        unit = per_what
    elif _divided(attribution) == "evidence":
        unit = (
            "as a contribution, against the baseline, to the evidence: the log posterior at the other modality's "
            "estimate less its mean at the session's other estimates, in nats"
        )
    else:
        unit = "as a contribution, against the baseline, to the posterior mean"
    return (
        f"Attribution ({method}) of the {block} latents to {what}, {summed}, {unit}; NaN where not attributed. "
        f"{_description_per_latent(attribution, method)}"
    )


def _description_per_latent(attribution: SessionAttribution, method: str) -> str:
    if method == "fisher":
        over_frames = "root mean square over attributed frames"
    elif method in CONTRIBUTIONS:
        over_frames = "mean over attributed frames, with its sign"
    else:
        over_frames = "mean of the absolute value over attributed frames"
    summary = f"per_latent is the {over_frames}."
    chosen = attribution.settings.get("configuration", {}).get("latents")
    if not chosen:
        return summary
    numbers = ", ".join(map(str, chosen))
    rows = "Rows of per_latent are latents" if len(chosen) > 1 else "The row of per_latent is latent"
    return f"{summary} {rows} {numbers}."


def _divided(attribution: SessionAttribution) -> str:
    return str(attribution.settings.get("divided") or "evidence")


def _unit(attribution: SessionAttribution, method: str) -> str:
    return "nats" if method in CONTRIBUTIONS and _divided(attribution) == "evidence" else "a.u."


def _baseline(attribution: SessionAttribution, method: str, other: str) -> str | None:
    if method == "score":
        return f"posterior mean of {other}"
    if method not in CONTRIBUTIONS:
        return None
    return {
        "mean": "mean of each cell or pixel over the attributed frames",
        "zero": "mean activity over the training part (spike counts: none), black pixels",
        "rest": "tenth percentile of each cell's activity, uniform frames of the mean luminance",
    }[_setting(attribution, "baseline", "mean")]


def _one_stimulus(stored: StoredSession, attribution: SessionAttribution, objects: Mapping[str, Any]) -> Any:
    """The stimulus series all attributed frames belong to, if they belong to one and it is a series in the file."""
    shown = np.unique(attribution.presentation)
    if not len(stored.presentations) or shown[0] < 0:
        return None
    paths = set(stored.presentations["source_path"].to_numpy(dtype=object)[shown])
    stimulus = objects.get(paths.pop()) if len(paths) == 1 else None
    return stimulus if isinstance(stimulus, NWBDataInterface) and not isinstance(stimulus, DynamicTable) else None
