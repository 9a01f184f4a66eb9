"""Annotations read back from an NWB file; the ``ndx-mivae`` package need not be installed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.annotation.annotations import (
    AnnotatedAttribution,
    AnnotatedFingerprints,
    AnnotatedSubpopulations,
    Annotations,
    PresentationPosterior,
)
from nwb_mivae.annotation.names import ENCODED_FRAMES, annotations_in
from nwb_mivae.annotation.record import ASSET_PARTS, ModelRecord, TrainingSession, asset_parts
from nwb_mivae.annotation.schema import (
    explain_newer_schema,
    newer_schema,
    refuse_other_meaning,
    warn_of_newer_schema,
)
from nwb_mivae.attribution.result import MethodAttribution, is_signed
from nwb_mivae.errors import AnnotationError, NwbMivaeError
from nwb_mivae.inference.latents import LatentBlock

if TYPE_CHECKING:
    import pandas as pd

    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["annotation_names", "read_annotations"]


def annotation_names(path: str | PathLike[str]) -> list[str]:
    """Names of the results in an NWB file, in order; none in a file that was never annotated.

    Raises
    ------
    SessionError
        If the file cannot be read as NWB.
    """
    from nwb_mivae.sessions.nwb import open_nwb

    opened = open_nwb(path)
    try:
        return sorted(annotations_in(opened.nwbfile))
    finally:
        opened.close()


def read_annotations(path: str | PathLike[str], name: str | None = None) -> Annotations:
    """Read the results in an annotated NWB file, HDF5 or Zarr.

    Everything is read by name and neurodata type through the specification inside the file, so that the result is the
    same with and without the ``ndx-mivae`` package. Of attribution only the attributed frames are held in memory. What
    the schema lets other programs leave out (variances, summaries by latent, confidences) is NaN where it is missing.

    Parameters
    ----------
    path : path-like
        The file, the Zarr folder, or the address of one in a DANDI archive.
    name : str, optional
        Which result, where the file has several.

    Warns
    -----
    UserWarning
        If a newer version of the extension wrote the annotation, the first part of its number is the same, and all that
        is known of here could be read.

    Raises
    ------
    AnnotationError
        If the file holds no annotation of this package, several and no ``name`` is given, or one that is damaged or
        too new to be read.
    SessionError
        If the file cannot be read as NWB.
    """
    from nwb_mivae.sessions.nwb import open_nwb

    with explain_newer_schema(path):
        opened = open_nwb(path)
    try:
        name = _name_of_one(opened, name)
        newer = newer_schema(opened)
        if newer is not None:
            refuse_other_meaning(newer, opened.location)
        try:
            annotations = _Reader(opened, name, newer=newer is not None).read()
        except NwbMivaeError:
            raise
        except Exception as problem:  # hdmf, h5py and zarr raise every builtin there is for what is damaged
            opened.raise_if_broken()
            raise AnnotationError(
                f"an annotation that cannot be read ({type(problem).__name__}: {' '.join(str(problem).split())[:300]})",
                expected="an annotation as `nwb-mivae annotate` writes it",
                remedy=_UPDATE if newer else _DAMAGED,
                file=opened.location,
                object_path=f"processing/{name}",
            ) from problem
    finally:
        opened.close()
    if newer:
        warn_of_newer_schema(newer, opened.location)
    return annotations


def _name_of_one(opened: OpenedFile, name: str | None) -> str:
    names = sorted(annotations_in(opened.nwbfile))
    if name is None and len(names) == 1:
        name = names[0]
    if name is not None and name in names and name in opened.nwbfile.processing:
        return name
    if name is None and names:
        raise AnnotationError(
            f"{len(names)} results",
            expected="one, or the name of one",
            remedy=f"name one of them: {', '.join(names)}",
            file=opened.location,
        )
    wanted = f" named {name!r}" if name is not None else ""
    if name in names:
        found, remedy = f"lab metadata of an annotation{wanted} and no processing module of that name", _DAMAGED
    else:
        found = f"no annotation{wanted}"
        remedy = f"name one of {', '.join(names)}" if names else "annotate the file first"
    raise AnnotationError(
        found,
        expected="a file written by `nwb-mivae annotate`",
        remedy=remedy,
        file=opened.location,
        object_path=f"processing/{name or 'mivae'}",
    )


_DAMAGED = "annotate the source again: this annotation is damaged"
_UPDATE = "update nwb_mivae and ndx-mivae: a newer version wrote this annotation"
_CELLS = {"RoiAttributionSeries": "rois", "UnitAttributionSeries": "units"}


class _Reader:
    """Reads one result of an open file; what must be there and is not is refused by its path."""

    def __init__(self, opened: OpenedFile, name: str, *, newer: bool) -> None:
        self.opened, self.name, self.newer = opened, name, newer
        self.metadata = opened.nwbfile.lab_meta_data[name]
        self.interfaces = opened.nwbfile.processing[name].data_interfaces

    def read(self) -> Annotations:
        metrics = next(iter(self.of_type("AlignmentMetricsTable")), None)
        frames = self.frames()
        return Annotations(
            name=self.name,
            # Version 0.1.0 made copies only.
            form=self.text(self.metadata, "form") or "copy",
            code_version=self.text(self.metadata, "code_version"),
            created=self.text(self.metadata, "created"),
            model=self.model(),
            source=self.source(),
            context={
                "clips": int(getattr(self.metadata, "context_clips", None) or 0),
                "minutes": float(getattr(self.metadata, "context_in_minutes", None) or 0.0),
            },
            frames=frames,
            blocks=self.blocks(len(frames)),
            presentations=[self.presentation(latents) for latents in self.of_type("PresentationLatents")],
            attribution=self.attribution(),
            fingerprints=self.fingerprints(),
            subpopulations=self.subpopulations(),
            metrics=None if metrics is None else metrics.to_dataframe().reset_index(drop=True),
            metrics_settings={} if metrics is None else self.settings(metrics),
        )

    def of_type(self, *kinds: str) -> list[Any]:
        """Objects of these neurodata types. Without the package their classes are made from the file's own words."""
        return [item for item in self.interfaces.values() if type(item).__name__ in kinds]

    def refusal(self, found: str, object_path: str) -> AnnotationError:
        return AnnotationError(
            found,
            expected="all that `nwb-mivae annotate` writes",
            remedy=_UPDATE if self.newer else _DAMAGED,
            file=self.opened.location,
            object_path=object_path,
        )

    def part(self, item: Any, name: str) -> Any:
        """A dataset, link or child that must be there."""
        value = getattr(item, name, None)
        if value is None:
            raise self.refusal(f"no {name}", f"{self.opened.path_of(item)}/{name}")
        return value

    def or_nan(self, item: Any, name: str, shape: tuple[int, ...]) -> Any:
        """A dataset that other programs may leave out; NaN then, which says that nothing is known."""
        stored = getattr(item, name, None)
        return np.full(shape, np.nan, np.float32) if stored is None else stored[:]

    def text(self, item: Any, name: str) -> str:
        return str(getattr(item, name, None) or "")

    def settings(self, item: Any) -> dict[str, Any]:
        return dict(json.loads(self.text(item, "settings") or "{}"))

    def agree(self, item: Any, what: str, found: Sequence[int], expected: Sequence[int]) -> None:
        if tuple(found) != tuple(expected):
            raise self.refusal(
                f"{what} of shape {tuple(found)} where {tuple(expected)} belongs", self.opened.path_of(item)
            )

    def model(self) -> ModelRecord:
        model = self.part(self.metadata, "model")
        rows = self.part(model, "training_sessions").to_dataframe()
        return ModelRecord(
            name=str(self.part(model, "model_name")),
            code_version=str(self.part(model, "code_version")),
            weights_sha256=str(self.part(model, "weights_sha256")),
            configuration=str(self.part(model, "config")),
            training_sessions=tuple(_training_session(row) for row in rows.to_dict("records")),
        )

    def source(self) -> dict[str, str]:
        names = ("file_name", "identifier", "sha256", "object_id", *ASSET_PARTS)
        texts = {name: self.text(self.metadata, f"source_{name}") for name in names}
        old = self.text(self.metadata, "source_dandi_asset")
        return texts | (asset_parts(old) if old and not any(texts[name] for name in ASSET_PARTS) else {})

    def frames(self) -> pd.DataFrame:
        import pandas as pd

        table = self.interfaces.get(ENCODED_FRAMES)
        if table is not None:
            return table.to_dataframe().reset_index(drop=True)
        # Written with the extension, but not by this package: the latents have times of their own.
        series = self.of_type("LatentSeries")
        if not series:
            raise self.refusal("no latents", f"processing/{self.name}")
        return pd.DataFrame({"start_time": np.asarray(series[0].get_timestamps()[:], dtype=np.float64)})

    def blocks(self, n_frames: int) -> dict[str, LatentBlock]:
        found = {}
        for series in self.of_type("LatentSeries"):
            mean = self.part(series, "data")[:]
            variance = self.or_nan(series, "variance", mean.shape)
            self.agree(series, "variance", variance.shape, mean.shape)
            self.agree(series, "data", mean.shape[:1], (n_frames,))
            found[str(self.part(series, "space"))] = LatentBlock(mean, variance)
        if not found:
            raise self.refusal("no latents", f"processing/{self.name}")
        return found

    def presentation(self, latents: Any) -> PresentationPosterior:
        region = self.part(latents, "presentations")
        mean = self.part(latents, "mean")[:]
        variance = self.or_nan(latents, "variance", mean.shape)
        offsets = np.asarray(self.part(latents, "bin_offsets_in_seconds")[:], dtype=np.float64)
        rows = np.asarray(region.data[:], dtype=np.int64)
        self.agree(latents, "variance", variance.shape, mean.shape)
        self.agree(latents, "mean", mean.shape[:2], (len(rows), len(offsets)))
        return PresentationPosterior(
            block=str(self.part(latents, "space")),
            table=self.opened.path_of(region.table),
            rows=rows,
            offsets=offsets,
            mean=mean,
            variance=variance,
        )

    def cells(self, item: Any, name: str, n_cells: int) -> pd.DataFrame:
        """Which cells a result is about, in its order."""
        import pandas as pd

        region = self.part(item, name)
        rows = np.asarray(region.data[:], dtype=np.int64)
        self.agree(item, name, rows.shape, (n_cells,))
        ids = np.asarray(region.table.id.data[:])
        if len(rows) and (rows.min() < 0 or rows.max() >= len(ids)):
            raise self.refusal(f"rows up to {rows.max()} of a table of {len(ids)}", self.opened.path_of(item))
        return pd.DataFrame(
            {"source_path": self.opened.path_of(region.table), "source_row": rows, "id": ids[rows]}
        ).astype({"source_path": object})

    def fingerprints(self) -> AnnotatedFingerprints | None:
        found = self.of_type("FunctionalFingerprints")
        if not found:
            return None
        values = [self.part(each, "data")[:] for each in found]
        lags = np.asarray(self.part(found[0], "lags_in_seconds")[:], dtype=np.float64)
        for each, data in zip(found, values, strict=True):
            self.agree(each, "data", data.shape[1:], (len(lags), *values[0].shape[2:]))
        return AnnotatedFingerprints(
            cells=_stacked(self.cells(each, "cells", len(data)) for each, data in zip(found, values, strict=True)),
            fingerprints=np.concatenate(values),
            lags_in_seconds=lags,
            method=str(self.part(found[0], "method")),
            settings=self.settings(found[0]),
        )

    def subpopulations(self) -> AnnotatedSubpopulations | None:
        found = self.of_type("Subpopulations")
        if not found:
            return None
        groups = [np.asarray(self.part(each, "subpopulation")[:], dtype=np.int64) for each in found]
        # The subpopulations are the session's, so every object has the same table of them.
        table = self.part(found[0], "table")
        profile = np.asarray(table["profile"].data[:], dtype=np.float32)
        time = np.asarray(self.part(found[0], "bin_offsets_in_seconds")[:], dtype=np.float64)
        self.agree(table, "profile", profile.shape[1:], time.shape)
        settings = self.settings(found[0])
        return AnnotatedSubpopulations(
            cells=_stacked(self.cells(each, "cells", len(group)) for each, group in zip(found, groups, strict=True)),
            subpopulation=np.concatenate(groups),
            confidence=np.concatenate([self.confidence(each, len(g)) for each, g in zip(found, groups, strict=True)]),
            profile=profile,
            profile_time=time,
            statistics=table.to_dataframe(exclude={"profile"}).reset_index(drop=True),
            method=str(self.part(found[0], "method")),
            attribution_method=str(settings.pop("attribution_method", "")),
            settings=settings,
        )

    def confidence(self, item: Any, n_cells: int) -> npt.NDArray[np.float32]:
        values = self.or_nan(item, "confidence", (n_cells,))
        self.agree(item, "confidence", values.shape, (n_cells,))
        return np.asarray(values, dtype=np.float32)

    def attribution(self) -> AnnotatedAttribution | None:
        of_pixels, of_cells = self.of_type("StimulusAttributionSeries"), self.of_type(*_CELLS)
        every = (*of_pixels, *of_cells)
        if not every:
            return None
        time = np.asarray(every[0].get_timestamps()[:], dtype=np.float64)
        for series in every:
            self.agree(series, "data", self.part(series, "data").shape[:1], time.shape)
        # Methods cover the same frames and cells; the smallest values tell soonest which frames they are.
        known = _rows_with_values(min(every, key=lambda series: int(np.prod(series.data.shape[1:]))).data)
        by_method = {
            method: [[series for series in kind if series.method == method] for kind in (of_pixels, of_cells)]
            for method in dict.fromkeys(str(self.part(series, "method")) for series in every)
        }
        cells = self.cells_of_all([mine for _, mine in by_method.values() if mine])
        methods = {}
        for method, (pixels, mine) in by_method.items():
            # A file of a session may have none of its cells, and one of another program only cells or only pixels.
            # Private latents of the two modalities differ in number.
            of_neural, of_stimulus = self.n_latents(mine or pixels), self.n_latents(pixels or mine)
            frames, latents = np.zeros((len(known), 0), np.float32), np.zeros((of_neural, 0), np.float32)
            if not mine:
                frames, latents = (np.full((len(each), len(cells)), np.nan, np.float32) for each in (frames, latents))
            methods[method] = MethodAttribution(
                neurons=np.concatenate([frames, *(_rows(series.data, known) for series in mine)], axis=1),
                neurons_per_latent=np.concatenate(
                    [latents, *(self.per_latent(series, of_neural) for series in mine)], axis=1
                ),
                pixels=_rows(pixels[0].data, known) if pixels else np.zeros((len(known), 0, 0), np.float32),
                pixels_per_latent=self.per_latent(pixels[0], of_stimulus)
                if pixels
                else np.zeros((of_stimulus, 0, 0), np.float32),
                signed=is_signed(method, self.settings((*mine, *pixels)[0]).get("divided")),
            )
        return AnnotatedAttribution(time=time[known], cells=cells, methods=methods, settings=self.settings(every[0]))

    def cells_of_all(self, methods: list[list[Any]]) -> pd.DataFrame:
        """The attributed cells, in their order, which are the same for every method."""
        found = [
            _stacked(self.cells(each, _CELLS[type(each).__name__], each.data.shape[1]) for each in series)
            for series in methods
        ]
        for series, cells in zip(methods, found, strict=True):
            if not cells.equals(found[0]):
                raise self.refusal("an attribution of other cells by each method", self.opened.path_of(series[0]))
        return found[0] if found else _no_cells()

    def n_latents(self, attributions: Sequence[Any]) -> int:
        """How many latents were attributed to one source: as many as are summarised, or else as the space has."""
        known = [len(each.per_latent) for each in attributions if getattr(each, "per_latent", None) is not None]
        spaces = {self.text(series, "space"): series.data.shape[1] for series in self.of_type("LatentSeries")}
        return int(known[0] if known else spaces.get(self.text(attributions[0], "target"), 1))

    def per_latent(self, series: Any, n_latents: int) -> npt.NDArray[np.float32]:
        shape = (n_latents, *series.data.shape[1:])
        stored: npt.NDArray[np.float32] = self.or_nan(series, "per_latent", shape)
        self.agree(series, "per_latent", stored.shape, shape)
        return stored


def _training_session(row: Mapping[Any, Any]) -> TrainingSession:
    texts = {str(name): str(value or "") for name, value in row.items()}
    # Version 0.1.0 wrote where an asset lies as one text.
    parts = {name: texts.get(name, "") for name in ASSET_PARTS}
    if not any(parts.values()):
        parts = asset_parts(texts.get("dandi_asset", ""))
    known = ("identifier", "subject_id", "file_name", "sha256")
    return TrainingSession(
        object_id=texts.get("source_object_id", ""), **{name: texts.get(name, "") for name in known}, **parts
    )


def _no_cells() -> pd.DataFrame:
    import pandas as pd

    none = np.zeros(0, dtype=np.int64)
    return pd.DataFrame({"source_path": np.zeros(0, dtype=object), "source_row": none, "id": none})


def _stacked(cells: Iterable[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([*cells] or [_no_cells()], ignore_index=True)


def _rows_with_values(data: Any) -> npt.NDArray[np.int64]:
    """Rows that are not all NaN; of a large array only a chunk is in memory at a time."""
    step = data.chunks[0] if data.chunks else max(1, len(data))
    found = []
    for first in range(0, len(data), step):
        piece = data[first : first + step].reshape(-1, int(np.prod(data.shape[1:])))
        found.append(first + np.flatnonzero(~np.isnan(piece).all(axis=1)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _rows(data: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Some rows of an array on disk, each run of neighbours at once."""
    none = np.zeros((0, *data.shape[1:]), np.float32)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return np.concatenate([none, *(data[run[0] : run[-1] + 1] for run in runs if len(run))])
