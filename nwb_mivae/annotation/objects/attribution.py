"""Attribution of the shared latents: per method one series for each table of cells, and one for the pixels."""

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

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession

__all__ = ["CELLS_TARGET", "attribution_series", "name_of_cells"]

# A shared latent of one modality is traced to that modality's own input; the score is taken at the other's estimate.
CELLS_TARGET, _PIXELS_TARGET = "neural_shared", "stimulus_shared"


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
    stimulus = _one_stimulus(stored, attribution, objects)
    place = np.searchsorted(frames, attribution.row)
    for method, maps in attribution.methods.items():
        common = {"method": method, "settings": settings, "model": model}
        for table in tables if maps.neurons.size else ():
            kind = ndx_mivae.UnitAttributionSeries if table.are_units else ndx_mivae.RoiAttributionSeries
            region = "units" if table.are_units else "rois"
            series = kind(
                name=name_of_cells(method, table),
                description=f"Attribution ({method}) of the shared neural latents, summed over latents, to the "
                "activity of each cell at each frame, per standard deviation of the cell's activity; NaN at frames "
                "that were not attributed.",
                data=sparse(maps.neurons[:, table.cells], place, len(frames), backend),
                per_latent=compressed(maps.neurons_per_latent[:, table.cells], backend),
                target=CELLS_TARGET,
                baseline=_baseline(method, _PIXELS_TARGET),
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
            description=f"Attribution ({method}) of the shared stimulus latents, summed over latents, to each pixel of "
            "the frame at each frame, per unit of luminance (black 0, white 1), at the model's resolution; NaN at "
            "frames that were not attributed.",
            data=sparse(maps.pixels, place, len(frames), backend),
            per_latent=compressed(maps.pixels_per_latent, backend),
            target=_PIXELS_TARGET,
            baseline=_baseline(method, CELLS_TARGET),
            stimulus=stimulus,
            timestamps=clock,
            **common,
        )


def _baseline(method: str, other: str) -> str | None:
    return f"posterior mean of {other}" if method == "score" else None


def _one_stimulus(stored: StoredSession, attribution: SessionAttribution, objects: Mapping[str, Any]) -> Any:
    """The stimulus series all attributed frames belong to, if they belong to one and it is a series in the file."""
    shown = np.unique(attribution.presentation)
    if not len(stored.presentations) or shown[0] < 0:
        return None
    paths = set(stored.presentations["source_path"].to_numpy(dtype=object)[shown])
    stimulus = objects.get(paths.pop()) if len(paths) == 1 else None
    return stimulus if isinstance(stimulus, NWBDataInterface) and not isinstance(stimulus, DynamicTable) else None
