"""Annotations read back from an NWB file, as arrays and tables; the ``ndx-mivae`` package need not be installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.names import ENCODED_FRAMES, MODULE
from nwb_mivae.annotation.record import ModelRecord, TrainingSession
from nwb_mivae.attribution.result import MethodAttribution
from nwb_mivae.errors import AnnotationError
from nwb_mivae.inference.latents import LatentBlock

if TYPE_CHECKING:
    import pandas as pd

    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["AnnotatedAttribution", "Annotations", "PresentationPosterior", "read_annotations"]


class PresentationPosterior(NamedTuple):
    """Posterior of one block by presentation.

    Attributes
    ----------
    block : str
        Name of the latent block.
    table : str
        Path of the presentation table in the file.
    rows : ndarray of int64, (P,)
        Rows of that table.
    offsets : ndarray of float64, (B,)
        Start of each bin, seconds from the onset of the presentation.
    mean, variance : ndarray of float32, (P, B, latents)
        NaN where no frame was encoded.
    """

    block: str
    table: str
    rows: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


@dataclass(frozen=True)
class AnnotatedAttribution:
    """Attribution of F frames to N cells and H x W pixels.

    Attributes
    ----------
    time : ndarray of float64, (F,)
        Onset of each frame, seconds.
    cells : DataFrame
        N rows: ``source_path`` and ``source_row`` of each cell's table and row in the file.
    methods : mapping of str to MethodAttribution
        By method; columns in the order of ``cells``.
    settings : mapping
        Settings of the attribution.
    """

    time: npt.NDArray[np.float64]
    cells: pd.DataFrame
    methods: Mapping[str, MethodAttribution]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Annotations:
    """What :func:`annotate` added to a file, in memory.

    Attributes
    ----------
    model : ModelRecord
        The model.
    source : mapping of str to str
        ``file_name``, ``sha256``, ``object_id`` and ``asset`` of the file the results were added to.
    context : mapping
        What the model saw of this animal: ``{"clips": int, "minutes": float}``.
    frames : DataFrame
        One row per encoded frame: ``start_time``, ``stop_time`` in seconds, ``clip``, ``split``.
    blocks : mapping of str to LatentBlock
        Posterior mean and variance, (frames, latents), by block.
    presentations : list of PresentationPosterior
        The same by presentation, for every presentation table of the source.
    attribution : AnnotatedAttribution or None
        Attribution, if there is one.
    """

    model: ModelRecord
    source: Mapping[str, str]
    context: Mapping[str, Any]
    frames: pd.DataFrame
    blocks: Mapping[str, LatentBlock]
    presentations: list[PresentationPosterior]
    attribution: AnnotatedAttribution | None


def read_annotations(path: str | PathLike[str]) -> Annotations:
    """Read the results in an annotated NWB file.

    Everything is read by name and neurodata type through the specification inside the file, so that the result is the
    same with and without the ``ndx-mivae`` package.

    Raises
    ------
    AnnotationError
        If the file holds no annotation of this package.
    SessionError
        If the file cannot be read as NWB.
    """
    from nwb_mivae.sessions.nwb import open_nwb

    opened = open_nwb(path)
    try:
        return _read(opened)
    finally:
        opened.close()


def _read(opened: OpenedFile) -> Annotations:
    nwbfile = opened.nwbfile
    if MODULE not in nwbfile.processing or MODULE not in nwbfile.lab_meta_data:
        raise AnnotationError(
            f"no processing module and lab metadata named {MODULE!r}",
            expected="a file written by `nwb-mivae annotate`",
            remedy="annotate the file first",
            file=opened.location,
            object_path=f"processing/{MODULE}",
        )
    interfaces = nwbfile.processing[MODULE].data_interfaces
    by_type: dict[str, list[Any]] = {}
    for item in interfaces.values():
        by_type.setdefault(type(item).__name__, []).append(item)
    metadata = nwbfile.lab_meta_data[MODULE]
    return Annotations(
        model=_model(metadata.model),
        source={
            "file_name": metadata.source_file_name or "",
            "sha256": metadata.source_sha256 or "",
            "object_id": metadata.source_object_id or "",
            "asset": metadata.source_dandi_asset or "",
        },
        context={"clips": int(metadata.context_clips), "minutes": float(metadata.context_in_minutes)},
        frames=interfaces[ENCODED_FRAMES].to_dataframe().reset_index(drop=True),
        blocks={series.space: LatentBlock(series.data[:], series.variance[:]) for series in by_type["LatentSeries"]},
        presentations=[_presentation(opened, table) for table in by_type.get("PresentationLatents", [])],
        attribution=_attribution(opened, by_type),
    )


def _model(model: Any) -> ModelRecord:
    rows = model.training_sessions.to_dataframe()
    names = ("identifier", "source_object_id", "subject_id", "file_name", "sha256", "dandi_asset")
    return ModelRecord(
        name=model.model_name,
        code_version=model.code_version,
        weights_sha256=model.weights_sha256,
        configuration=str(model.config),
        training_sessions=tuple(TrainingSession(*map(str, row)) for row in zip(*(rows[n] for n in names), strict=True)),
    )


def _presentation(opened: OpenedFile, latents: Any) -> PresentationPosterior:
    region = latents.presentations
    return PresentationPosterior(
        block=latents.space,
        table=opened.path_of(region.table),
        rows=np.asarray(region.data[:], dtype=np.int64),
        offsets=np.asarray(latents.bin_offsets_in_seconds[:], dtype=np.float64),
        mean=latents.mean[:],
        variance=latents.variance[:],
    )


def _attribution(opened: OpenedFile, by_type: Mapping[str, list[Any]]) -> AnnotatedAttribution | None:
    import pandas as pd

    regions = {"RoiAttributionSeries": "rois", "UnitAttributionSeries": "units"}
    of_cells = [(series, getattr(series, name)) for kind, name in regions.items() for series in by_type.get(kind, [])]
    of_pixels = by_type.get("StimulusAttributionSeries", [])
    if not of_pixels:
        return None
    methods = {}
    for pixels in of_pixels:
        mine = [(series, region) for series, region in of_cells if series.method == pixels.method]
        # A file of a session may have none of its cells.
        none = np.zeros((pixels.data.shape[0], 0), np.float32)
        neurons = np.concatenate([none, *(series.data[:] for series, _ in mine)], axis=1)
        known = ~np.isnan(neurons).all(axis=1) if mine else ~np.isnan(pixels.data[:, 0, 0])
        none = np.zeros((pixels.per_latent.shape[0], 0), np.float32)
        methods[pixels.method] = MethodAttribution(
            neurons=neurons[known],
            neurons_per_latent=np.concatenate([none, *(series.per_latent[:] for series, _ in mine)], axis=1),
            pixels=pixels.data[known],
            pixels_per_latent=pixels.per_latent[:],
        )
    # Methods cover the same frames and cells, so those of the last one are everybody's.
    cells = [pd.DataFrame({"source_path": np.zeros(0, dtype=object), "source_row": np.zeros(0, dtype=np.int64)})]
    cells += [
        pd.DataFrame({"source_path": opened.path_of(region.table), "source_row": np.asarray(region.data[:])})
        for _, region in mine
    ]
    return AnnotatedAttribution(
        time=np.asarray(pixels.get_timestamps()[:], dtype=np.float64)[known],
        cells=pd.concat(cells, ignore_index=True),
        methods=methods,
        settings=json.loads(pixels.settings),
    )
