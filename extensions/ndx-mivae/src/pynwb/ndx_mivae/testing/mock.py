"""One ``mock_TYPE`` per type: valid, small and random, every argument replaceable by keyword, as in ``pynwb.testing``.

With ``nwbfile`` the object is added to the file: series and presentation latents to a processing module ``mivae``,
the annotation to the lab metadata.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hdmf.common import DynamicTable, DynamicTableRegion
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units
from pynwb.testing.mock.ophys import mock_PlaneSegmentation

from ndx_mivae import (
    LatentSeries,
    MIVAEAnnotation,
    MIVAEModel,
    PresentationLatents,
    RoiAttributionSeries,
    StimulusAttributionSeries,
    TrainingSessionsTable,
    UnitAttributionSeries,
)

TIMES, LATENTS, CELLS, HEIGHT, WIDTH = 90, 3, 5, 4, 6


def mock_TrainingSessionsTable(*, rows: int = 2) -> TrainingSessionsTable:  # noqa: N802 - named after the type
    """Training sessions; the last one not on DANDI."""
    return TrainingSessionsTable.of_rows(
        {
            "identifier": f"session {row}",
            "source_object_id": f"{row:08d}-0000-4000-8000-000000000000",
            "subject_id": f"mouse{row}",
            "file_name": f"sub-mouse{row}.nwb",
            "sha256": f"{row:064x}",
            "dandi_asset": ""
            if row == rows - 1
            else f"dandi://000728@0.240827.1809/sub-mouse{row}/sub-mouse{row}_ophys.nwb#asset=asset-{row}",
        }
        for row in range(rows)
    )


def mock_MIVAEModel(**fields: Any) -> MIVAEModel:  # noqa: N802
    """A model trained on two sessions."""
    defaults: dict[str, Any] = {
        "model_name": "miVAE",
        "code_version": "0.1.0",
        "weights_sha256": "0123456789abcdef" * 4,
        "config": '{"latents": 3}',
        "training_sessions": mock_TrainingSessionsTable(),
    }
    return MIVAEModel(**(defaults | fields))


def mock_MIVAEAnnotation(*, nwbfile: NWBFile | None = None, **fields: Any) -> MIVAEAnnotation:  # noqa: N802
    """An annotation with its model."""
    defaults: dict[str, Any] = {
        "model": fields["model"] if "model" in fields else mock_MIVAEModel(),
        "source_file_name": "sub-mouse0.nwb",
        "source_sha256": "fedcba9876543210" * 4,
        "source_object_id": "00000000-0000-4000-8000-000000000000",
        "source_dandi_asset": "dandi://000728@0.240827.1809/sub-mouse0/sub-mouse0_ophys.nwb#asset=asset-0",
        "context_clips": 64,
        "context_in_minutes": 0.57,
    }
    annotation = MIVAEAnnotation(**(defaults | fields))
    if nwbfile is not None:
        nwbfile.add_lab_meta_data(annotation)
    return annotation


def mock_LatentSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> LatentSeries:  # noqa: N802
    """Latents at 90 times."""
    random = np.random.default_rng(0)
    defaults: dict[str, Any] = {
        "name": "latents_neural_shared",
        "description": "Posterior of the shared neural latents.",
        "data": random.normal(size=(TIMES, LATENTS)).astype(np.float32),
        "variance": random.uniform(0.1, 1.0, (TIMES, LATENTS)).astype(np.float32),
        "timestamps": _jittered_times(),
        "space": "neural_shared",
    }
    return _added(LatentSeries(**(defaults | fields)), nwbfile)


def mock_PresentationLatents(*, nwbfile: NWBFile | None = None, **fields: Any) -> PresentationLatents:  # noqa: N802
    """Latents of four presentations in two bins, one of them unknown."""
    random = np.random.default_rng(1)
    mean = random.normal(size=(4, 2, LATENTS)).astype(np.float32)
    variance = random.uniform(0.1, 1.0, mean.shape).astype(np.float32)
    mean[1, 1] = variance[1, 1] = np.nan
    defaults: dict[str, Any] = {
        "name": "presentation_latents_neural_shared",
        "mean": mean,
        "variance": variance,
        "bin_offsets_in_seconds": [0.0, 1 / 30],
        "space": "neural_shared",
    }
    if "presentations" not in fields:
        table = TimeIntervals(name="movie_presentations", description="Frames of a movie.")
        for row in range(6):
            table.add_row(start_time=row / 10, stop_time=(row + 1) / 10)
        if nwbfile is not None:
            nwbfile.add_time_intervals(table)
        defaults["presentations"] = _region("presentations", table, [0, 2, 3, 5])
    return _added(PresentationLatents(**(defaults | fields)), nwbfile)


def mock_RoiAttributionSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> RoiAttributionSeries:  # noqa: N802
    """Attribution to five of six ROIs."""
    if "rois" not in fields:
        table = mock_PlaneSegmentation(n_rois=CELLS + 1, nwbfile=nwbfile)
        fields = {"rois": _region("rois", table, [1, 2, 3, 4, 5])} | fields
    return _added(RoiAttributionSeries(**(_attribution("cells", (CELLS,), "neural_shared") | fields)), nwbfile)


def mock_UnitAttributionSeries(*, nwbfile: NWBFile | None = None, **fields: Any) -> UnitAttributionSeries:  # noqa: N802
    """Attribution to five of six units."""
    if "units" not in fields:
        if nwbfile is None:
            table = Units(name="units", description="Sorted units.", resolution=1 / 30000)
        else:
            nwbfile.units = table = Units(name="units", description="Sorted units.", resolution=1 / 30000)
        for row in range(CELLS + 1):
            table.add_unit(spike_times=[0.1 * (row + 1), 1.0 + row])
        fields = {"units": _region("units", table, [1, 2, 3, 4, 5])} | fields
    return _added(UnitAttributionSeries(**(_attribution("units", (CELLS,), "neural_shared") | fields)), nwbfile)


def mock_StimulusAttributionSeries(  # noqa: N802
    *, nwbfile: NWBFile | None = None, **fields: Any
) -> StimulusAttributionSeries:
    """Attribution to 4 x 6 pixels."""
    defaults = _attribution("stimulus", (HEIGHT, WIDTH), "stimulus_shared")
    return _added(StimulusAttributionSeries(**(defaults | fields)), nwbfile)


def _attribution(what: str, shape: tuple[int, ...], target: str) -> dict[str, Any]:
    random = np.random.default_rng(2)
    return {
        "name": f"attribution_score_{what}",
        "description": f"Attribution of the shared latents to {what}.",
        "data": random.normal(size=(TIMES, *shape)).astype(np.float32),
        "per_latent": random.uniform(size=(LATENTS, *shape)).astype(np.float32),
        "method": "score",
        "target": target,
        "baseline": "posterior mean of the other modality",
        "settings": '{"seed": 0}',
        "timestamps": _jittered_times(),
    }


def _jittered_times() -> np.ndarray:
    # A display's clock; exactly regular times would better be given as a rate.
    return np.cumsum(1 / 30 + np.random.default_rng(3).uniform(-1e-3, 1e-3, TIMES))


def _region(name: str, table: DynamicTable, rows: list[int]) -> DynamicTableRegion:
    return DynamicTableRegion(name=name, description="Some rows.", data=rows, table=table)


def _added(item: Any, nwbfile: NWBFile | None) -> Any:
    if nwbfile is None:
        return item
    if "mivae" not in nwbfile.processing:
        nwbfile.create_processing_module("mivae", "Latents and their attribution.")
    nwbfile.processing["mivae"].add(item)
    return item
