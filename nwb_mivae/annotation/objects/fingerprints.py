"""Functional fingerprints: one object for each table of cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.objects.arrays import compressed
from nwb_mivae.annotation.objects.tables import CellTable

if TYPE_CHECKING:
    from nwb_mivae.inference import SessionFingerprints

__all__ = ["functional_fingerprints"]


def functional_fingerprints(
    fingerprints: SessionFingerprints, model: Any, *, tables: Sequence[CellTable], backend: Backend
) -> Iterator[Any]:
    """``FunctionalFingerprints`` of the cells of each table."""
    for table in tables:
        yield ndx_mivae.FunctionalFingerprints(
            name=f"fingerprints{table.suffix}",
            description="What each cell answers to: covariance of its activity with features of the stimulus at "
            "several lags, whitened by the stimulus, over the context (the training part of this session).",
            method="whitened covariance of activity and stimulus features",
            settings=json.dumps({"n_frames": fingerprints.n_frames}),
            cells=table.region("cells", f"Cells the fingerprints are of: rows of {table.path}."),
            data=compressed(fingerprints.fingerprints[table.cells], backend),
            lags_in_seconds=np.asarray(fingerprints.lags_in_seconds, dtype=np.float64),
            model=model,
        )
