"""Results as NWB objects: ``ndx-mivae`` series and tables that refer to the source's own tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import ndx_mivae
import numpy as np
import numpy.typing as npt
from hdmf.common import DynamicTable, DynamicTableRegion, VectorData
from pynwb import TimeSeries
from pynwb.core import NWBDataInterface
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units
from pynwb.ophys import PlaneSegmentation

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.names import ENCODED_FRAMES, PARTS
from nwb_mivae.annotation.per_presentation import PresentationBins, presentation_bins
from nwb_mivae.annotation.record import ModelRecord, TrainingSession
from nwb_mivae.annotation.results import Form, Results
from nwb_mivae.annotation.sparse_frames import SparseFrames
from nwb_mivae.errors import AnnotationError
from nwb_mivae.provenance import package_version
from nwb_mivae.sessions.grouping import SAME_TIME
from nwb_mivae.sessions.nwb import text_values

if TYPE_CHECKING:
    from nwb_mivae.attribution import SessionAttribution
    from nwb_mivae.clips import StoredSession
    from nwb_mivae.inference.latents import SessionLatents

__all__ = ["add_results"]

_BLOCK_WORDS = {
    "neural_shared": "what animals share, driven by the stimulus, from neural activity",
    "neural_private": "what belongs to this animal and session, from neural activity",
    "stimulus_shared": "what of the stimulus the neurons carry, from the stimulus",
    "stimulus_private": "the rest of the stimulus, from the stimulus",
}
_CHUNK_BYTES = 2**20

# A shared latent of one modality is traced to that modality's own input; the score is taken at the other's estimate.
_CELLS_TARGET, _PIXELS_TARGET = "neural_shared", "stimulus_shared"


def add_results(
    nwbfile: Any,
    objects: Mapping[str, Any],
    results: Results,
    *,
    part: FilePart,
    name: str,
    form: Form = "copy",
    backend: Backend,
    location: str,
) -> None:
    """Add results to a file in memory: the open source, or the companion that is made for it.

    Parameters
    ----------
    nwbfile : pynwb.NWBFile
        Receives the processing module and the lab metadata ``name``.
    objects : mapping of str to container
        What stands in ``nwbfile`` for each object of the source, by its path in the *source*.
    results : Results
        What is written.
    part : FilePart
        What of the session lies in the source.
    name : str
        Name of this result in the file.
    form : {"copy", "append", "companion"}
        What the file is to its source, as the annotation says it.
    backend : Backend
        The format the file is going to be written in.
    location : str
        The source, as errors name it.

    Raises
    ------
    AnnotationError
        If a table the results refer to is not there, or has no such row.
    """
    stored, latents, attribution = results.stored, results.latents, results.attribution
    annotation = _annotation(stored, results.model, latents.context, part=part, name=name)
    nwbfile.add_lab_meta_data(annotation)
    module = nwbfile.create_processing_module(
        name=name,
        description="Latents of a multi-modal identifiable VAE (miVAE) shared by neural activity and visual stimulus, "
        f"and their attribution to cells and pixels, computed by nwb_mivae {package_version()}.",
    )
    series = list(_latent_series(latents, annotation.model, backend))
    tables = _presentation_latents(
        stored, latents, annotation.model, objects, part=part, file=location, backend=backend
    )
    for item in (*series, _encoded_frames(latents), *tables):
        module.add(item)
    if attribution is not None:
        frames = np.union1d(latents.row, attribution.row)
        clock = series[0] if np.array_equal(frames, latents.row) else np.asarray(stored.time[frames], np.float64)
        for item in _attribution_series(
            stored,
            attribution,
            annotation.model,
            objects,
            part=part,
            frames=frames,
            clock=clock,
            file=location,
            backend=backend,
        ):
            module.add(item)
    _add_generator(nwbfile)


def _add_generator(nwbfile: Any) -> None:
    before = [] if nwbfile.was_generated_by is None else [list(text_values(pair)) for pair in nwbfile.was_generated_by]
    nwbfile.fields["was_generated_by"] = [*before, ["nwb_mivae", package_version()]]
    nwbfile.set_modified()


def _annotation(
    stored: StoredSession, model: ModelRecord, context: Mapping[str, Any], *, part: FilePart, name: str
) -> Any:
    """The lab metadata that says where the results came from."""
    source = TrainingSession.files_of(stored)[part.number]
    return ndx_mivae.MIVAEAnnotation(
        name=name,
        model=ndx_mivae.MIVAEModel(
            model_name=model.name,
            code_version=model.code_version,
            weights_sha256=model.weights_sha256,
            config=model.configuration,
            training_sessions=ndx_mivae.TrainingSessionsTable.of_rows(
                {
                    "identifier": session.identifier,
                    "source_object_id": session.object_id,
                    "subject_id": session.subject_id,
                    "file_name": session.file_name,
                    "sha256": session.sha256,
                    "dandi_asset": session.asset,
                }
                for session in model.training_sessions
            ),
        ),
        source_file_name=source.file_name or None,
        source_sha256=part.digest,
        source_object_id=part.object_id or None,
        source_dandi_asset=source.asset or None,
        context_clips=int(context.get("clips", 0)),
        context_in_minutes=float(context.get("minutes", 0.0)),
    )


def _encoded_frames(latents: SessionLatents) -> TimeIntervals:
    """The frames latents were computed for: when, in which clip, in which part of the split."""
    columns = {
        "start_time": ("Onset of the frame, in seconds.", latents.time),
        "stop_time": ("End of the frame, in seconds.", latents.stop_time),
        "clip": ("Number of the clip the frame was encoded in; frames of one clip are consecutive.", latents.clip),
        "split": (
            "Part of the split by stimulus: 'train' (also the context), 'validation' or 'test'.",
            [PARTS[part] for part in latents.part],
        ),
    }
    return TimeIntervals(
        name=ENCODED_FRAMES,
        description="Stimulus frames that latents were computed for, in the order of the latents.",
        columns=[
            VectorData(name=name, description=description, data=data) for name, (description, data) in columns.items()
        ],
    )


def _latent_series(latents: SessionLatents, model: Any, backend: Backend) -> Iterator[Any]:
    """One ``LatentSeries`` per block; the first holds the timestamps, the others link to them."""
    timestamps: Any = np.asarray(latents.time, dtype=np.float64)
    for name, block in latents.blocks.items():
        series = ndx_mivae.LatentSeries(
            name=f"latents_{name}",
            description=f"Posterior mean and variance of the {name.replace('_', ' ')} latents: {_BLOCK_WORDS[name]}. "
            "One sample per encoded stimulus frame, at its onset.",
            data=_compressed(block.mean, backend),
            variance=_compressed(block.variance, backend),
            timestamps=timestamps,
            space=name,
            model=model,
        )
        timestamps = series
        yield series


def _presentation_latents(
    stored: StoredSession,
    latents: SessionLatents,
    model: Any,
    objects: Mapping[str, Any],
    *,
    part: FilePart,
    file: str,
    backend: Backend,
) -> Iterator[Any]:
    """One ``PresentationLatents`` per block and presentation table of the source.

    Presentations the source keeps as a series (IndexSeries, ImageSeries) have no rows to refer to; the
    ``LatentSeries`` has their latents all the same.
    """
    for bins in presentation_bins(stored, latents):
        if part.n_files > 1 and not _has_presentations(stored, bins, objects.get(bins.table)):
            continue
        table = _object_at(objects, bins.table, file)
        if not isinstance(table, DynamicTable):
            continue
        _refuse_rows(bins.rows, table, bins.table, file)
        for name, block in latents.blocks.items():
            mean, variance = bins.spread(block)
            yield ndx_mivae.PresentationLatents(
                name=f"presentation_latents_{name}_{_plain(PurePath(bins.table).name)}",
                description=f"Posterior of the {name.replace('_', ' ')} latents for each row of {bins.table} that has "
                "encoded frames, one bin per stimulus frame of the presentation.",
                presentations=DynamicTableRegion(
                    name="presentations", description=f"Rows of {bins.table}.", data=bins.rows, table=table
                ),
                mean=_compressed(mean, backend),
                variance=_compressed(variance, backend),
                bin_offsets_in_seconds=bins.offsets,
                space=name,
                model=model,
            )


def _has_presentations(stored: StoredSession, bins: PresentationBins, table: Any) -> bool:
    """Whether one of several files has these presentations; the session's came from the file that tells most."""
    if not isinstance(table, DynamicTable) or "start_time" not in table.colnames or bins.rows.max() >= len(table):
        return False
    of_table = stored.presentations[stored.presentations["source_path"] == bins.table]
    expected = of_table.groupby("source_row")["start_time"].min().loc[bins.rows].to_numpy(dtype=np.float64)
    found = np.asarray(table["start_time"].data[:], dtype=np.float64)[bins.rows]
    return bool(np.allclose(found, expected, rtol=0.0, atol=SAME_TIME))


def _attribution_series(
    stored: StoredSession,
    attribution: SessionAttribution,
    model: Any,
    objects: Mapping[str, Any],
    *,
    part: FilePart,
    frames: npt.NDArray[np.int64],
    clock: Any,
    file: str,
    backend: Backend,
) -> Iterator[Any]:
    """Attribution of the shared latents: per method one series for each table of cells and one for the pixels.

    ``frames`` are the stored rows the series cover, ``clock`` their times or a series that has them.
    """
    settings = json.dumps(dict(attribution.settings))
    stimulus = _one_stimulus(stored, attribution, objects)
    tables = list(_cells_by_table(stored, part, objects, file))
    place = np.searchsorted(frames, attribution.row)
    for method, maps in attribution.methods.items():
        common = {"method": method, "settings": settings, "model": model}
        for path, table, cells, rows in tables:
            kind, region_name = _kind_of_cells(table, path, file)
            suffix = f"_{_plain(PurePath(path).name)}" if len(tables) > 1 else ""
            region = DynamicTableRegion(
                name=region_name, description=f"Attributed cells: rows of {path}.", data=rows, table=table
            )
            series = kind(
                name=f"attribution_{method}_cells{suffix}",
                description=f"Attribution ({method}) of the shared neural latents, summed over latents, to the "
                "activity of each cell at each frame, per standard deviation of the cell's activity; NaN at frames "
                "that were not attributed.",
                data=_sparse(maps.neurons[:, cells], place, len(frames), backend),
                per_latent=_compressed(maps.neurons_per_latent[:, cells], backend),
                target=_CELLS_TARGET,
                baseline=_baseline(method, _PIXELS_TARGET),
                timestamps=clock,
                **{region_name: region},
                **common,
            )
            clock = clock if isinstance(clock, TimeSeries) else series
            yield series
        yield ndx_mivae.StimulusAttributionSeries(
            name=f"attribution_{method}_stimulus",
            description=f"Attribution ({method}) of the shared stimulus latents, summed over latents, to each pixel of "
            "the frame at each frame, per unit of luminance (black 0, white 1), at the model's resolution; NaN at "
            "frames that were not attributed.",
            data=_sparse(maps.pixels, place, len(frames), backend),
            per_latent=_compressed(maps.pixels_per_latent, backend),
            target=_PIXELS_TARGET,
            baseline=_baseline(method, _CELLS_TARGET),
            stimulus=stimulus,
            timestamps=clock,
            **common,
        )


def _baseline(method: str, other: str) -> str | None:
    return f"posterior mean of {other}" if method == "score" else None


def _compressed(values: Any, backend: Backend) -> Any:
    """Compressed float32 in chunks of about a mebibyte along the first dimension (HDF5's default: none)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    return backend.compressed(values, chunks=(_chunk_frames(values, len(values)), *values.shape[1:]))


def _sparse(values: npt.NDArray[np.float32], place: npt.NDArray[np.int64], n_frames: int, backend: Backend) -> Any:
    """The same for values at some of ``n_frames`` frames."""
    rows = SparseFrames(values, place, n_frames, chunk_frames=_chunk_frames(values, n_frames))
    return backend.compressed(rows)


def _chunk_frames(values: npt.NDArray[np.float32], n_frames: int) -> int:
    frame_bytes = max(1, int(np.prod(values.shape[1:])) * 4)
    return max(1, min(n_frames, _CHUNK_BYTES // frame_bytes))


def _plain(name: str) -> str:
    # Names with "/" or ":" exist in published files, but cannot be given to a new object.
    return re.sub(r"[^0-9A-Za-z_.-]", "_", name)


def _cells_by_table(
    stored: StoredSession, part: FilePart, objects: Mapping[str, Any], file: str
) -> Iterator[tuple[str, Any, np.ndarray, np.ndarray]]:
    paths = stored.cells["source_path"].to_numpy(dtype=object)
    source_rows = stored.cells["source_row"].to_numpy(dtype=np.int64)
    for path in dict.fromkeys(str(path) for path in paths[part.cells]):
        cells = part.cells[paths[part.cells] == path]
        table, rows = _object_at(objects, path, file), source_rows[cells]
        if not isinstance(table, DynamicTable):
            raise AnnotationError(
                f"a {type(table).__name__}",
                expected="the table of cells",
                remedy="prepare the session again",
                file=file,
                object_path=path,
            )
        _refuse_rows(rows, table, path, file)
        yield path, table, cells, rows


def _kind_of_cells(table: DynamicTable, path: str, file: str) -> tuple[Any, str]:
    if isinstance(table, PlaneSegmentation):
        return ndx_mivae.RoiAttributionSeries, "rois"
    if isinstance(table, Units):
        return ndx_mivae.UnitAttributionSeries, "units"
    raise AnnotationError(
        f"cells in a {type(table).__name__}",
        expected="a PlaneSegmentation or the Units table",
        remedy="prepare the session again",
        file=file,
        object_path=path,
    )


def _object_at(objects: Mapping[str, Any], path: str, file: str) -> Any:
    # The file itself has the empty path, which stands for "no table" here.
    if not path or path not in objects:
        raise AnnotationError(
            "no object at this path" if path else "rows that name no table",
            expected="the table the session was prepared from",
            remedy="prepare the session again from this file",
            file=file,
            object_path=path or "source_path",
        )
    return objects[path]


def _refuse_rows(rows: np.ndarray, table: DynamicTable, path: str, file: str) -> None:
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table)):
        raise AnnotationError(
            f"rows {rows.min()} to {rows.max()} in a table of {len(table)}",
            expected=f"rows 0 to {len(table) - 1}",
            remedy="prepare the session again from this file",
            file=file,
            object_path=path,
        )


def _one_stimulus(stored: StoredSession, attribution: SessionAttribution, objects: Mapping[str, Any]) -> Any:
    """The stimulus series all attributed frames belong to, if they belong to one and it is a series."""
    shown = np.unique(attribution.presentation)
    if not len(stored.presentations) or shown[0] < 0:
        return None
    paths = set(stored.presentations["source_path"].to_numpy(dtype=object)[shown])
    stimulus = objects.get(paths.pop()) if len(paths) == 1 else None
    return stimulus if isinstance(stimulus, NWBDataInterface) and not isinstance(stimulus, DynamicTable) else None
