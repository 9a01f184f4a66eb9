"""Copies of a source's tables in a companion: the same rows, ids and plain columns at the same place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pynwb
from hdmf.common import DynamicTable, DynamicTableRegion, ElementIdentifiers, EnumData, VectorData, VectorIndex
from hdmf.query import ReferenceResolver
from pynwb.base import TimeSeriesReferenceVectorData
from pynwb.device import Device, DeviceModel
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units
from pynwb.ophys import ImageSegmentation, ImagingPlane, OpticalChannel, PlaneSegmentation

from nwb_mivae.annotation.backends import Backend
from nwb_mivae.annotation.companion_masks import IMAGE_MASK, PIXEL_MASKS, StreamedMasks
from nwb_mivae.annotation.companion_metadata import text_or_none
from nwb_mivae.annotation.source_objects import SOURCE_UNITS, UNITS_WITHOUT_SPIKES, new_name
from nwb_mivae.sessions.nwb import as_text, text_values
from nwb_mivae.sessions.sample_times import in_seconds

if TYPE_CHECKING:
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["TableCopies"]

#: Ordinary columns are far below this; what is above is data, not a description of rows.
_COLUMN_BYTES = 16 * 2**20
#: An hour of 230 units at 10 spikes a second.
_SPIKE_BYTES = 64 * 2**20
_COMPRESSED_FROM_BYTES = 4096

_SPIKE_TIMES = "spike_times"
_WAVEFORMS = ("waveforms", "waveform_mean", "waveform_sd")
_INTERVALS_OF_THEIR_OWN = ("epochs", "trials", "invalid_times")
_OLD_DEVICE_TEXTS = ("manufacturer", "model_number", "model_name")


class TableCopies:
    """Puts copies of tables of an open source into a companion.

    Parameters
    ----------
    opened : OpenedFile
        The source; stays open until the companion is written.
    companion : pynwb.NWBFile
        Receives the copies and the modules, planes and devices they need.
    backend : Backend
        The format the companion is going to be written in.
    """

    def __init__(self, opened: OpenedFile, companion: pynwb.NWBFile, *, backend: Backend) -> None:
        self._opened = opened
        self._companion = companion
        self._backend = backend

    def add(self, path: str, source: Any) -> DynamicTable | None:
        """Copy the table at this path of the source; nothing is copied of what is no table."""
        if not isinstance(source, DynamicTable):
            return None
        seconds = self._counted_times_in_seconds(source)
        columns, left_out = self._columns(source, path, seconds)
        kept = [column.name for column in columns if not isinstance(column, VectorIndex)]
        name = new_name(source.name)
        content: dict[str, Any] = {
            "description": _description(source, left_out, [*seconds]),
            "id": ElementIdentifiers(name="id", data=self._compressed(np.asarray(source.id.data[:]))),
        }
        if kept:
            content |= {"columns": columns, "colnames": kept}
        if isinstance(source, PlaneSegmentation):
            rois = PlaneSegmentation(name=name, imaging_plane=self._plane(source.imaging_plane), **content)
            self._place_rois(path, rois, source)
            return rois
        if isinstance(source, Units) and _SPIKE_TIMES in kept:
            self._companion.units = Units(name=SOURCE_UNITS, resolution=source.resolution, **content)
            return self._companion.units
        if path == SOURCE_UNITS:
            # As `Units` without spikes it would tell tools of units that never fire, and the archive refuses it.
            _, module, name = UNITS_WITHOUT_SPIKES.split("/")
            about_units = DynamicTable(name=name, **content)
            self._module(module, "Sorted units; their spike times are in the source.").add(about_units)
            return about_units
        if isinstance(source, TimeIntervals):
            intervals = TimeIntervals(name=name, **content)
            self._place_intervals(path, intervals)
            return intervals
        table = DynamicTable(name=name, **content)
        self._companion.add_stimulus(table)
        return table

    def _place_rois(self, path: str, rois: PlaneSegmentation, source: PlaneSegmentation) -> None:
        match path.split("/"):
            case ["processing", module, _]:
                self._module(module, self._said_of(module)).add(rois)
            case ["processing", module, segmentation, _] if isinstance(source.parent, ImageSegmentation):
                self._segmentation(module, segmentation).add_plane_segmentation(rois)
            case _:
                self._segmentation("ophys", "ImageSegmentation").add_plane_segmentation(rois)

    def _place_intervals(self, path: str, intervals: TimeIntervals) -> None:
        if path.startswith("stimulus/"):
            self._companion.add_stimulus(intervals)
        elif intervals.name in _INTERVALS_OF_THEIR_OWN:
            setattr(self._companion, intervals.name, intervals)
        else:
            self._companion.add_time_intervals(intervals)

    def _segmentation(self, module: str, name: str) -> ImageSegmentation:
        place = self._module(module, self._said_of(module))
        if new_name(name) not in place.data_interfaces:
            place.add(ImageSegmentation(name=new_name(name)))
        return place[new_name(name)]

    def _said_of(self, module: str) -> str:
        source = self._opened.nwbfile.processing.get(module)
        return (source is not None and text_or_none(source.description)) or "Regions of interest."

    def _module(self, name: str, description: str) -> Any:
        if new_name(name) not in self._companion.processing:
            self._companion.create_processing_module(name=new_name(name), description=description)
        return self._companion.processing[new_name(name)]

    def _plane(self, source: ImagingPlane) -> ImagingPlane:
        """The companion's imaging plane; what is deprecated of it (a position for every pixel) is left out."""
        name = new_name(source.name)
        if name not in self._companion.imaging_planes:
            self._companion.add_imaging_plane(
                ImagingPlane(
                    name=name,
                    device=self._device(source.device),
                    optical_channel=[
                        OpticalChannel(
                            name=new_name(channel.name),
                            description=text_or_none(channel.description) or f"Channel {as_text(channel.name)}.",
                            emission_lambda=float(channel.emission_lambda),
                        )
                        for channel in source.optical_channel
                    ],
                    excitation_lambda=float(source.excitation_lambda),
                    imaging_rate=None if source.imaging_rate is None else float(source.imaging_rate),
                    indicator=text_or_none(source.indicator) or "unknown",
                    location=text_or_none(source.location) or "unknown",
                    description=text_or_none(source.description),
                    reference_frame=text_or_none(source.reference_frame),
                    **_coordinates(source, "origin_coords"),
                    **_coordinates(source, "grid_spacing"),
                )
            )
        return self._companion.imaging_planes[name]

    def _device(self, source: Device) -> Device:
        name = new_name(source.name)
        if name not in self._companion.devices:
            device = Device(
                name=name,
                description=text_or_none(source.description),
                serial_number=text_or_none(source.serial_number),
                model=None if source.model is None else self._device_model(source.model),
            )
            # Deprecated, and still where most files say it; the constructor would warn of it.
            device.fields.update(
                {field: text for field in _OLD_DEVICE_TEXTS if (text := text_or_none(getattr(source, field)))}
            )
            self._companion.add_device(device)
        return self._companion.devices[name]

    def _device_model(self, source: DeviceModel) -> DeviceModel:
        name = new_name(source.name)
        if name not in self._companion.device_models:
            self._companion.add_device_model(
                DeviceModel(
                    name=name,
                    manufacturer=text_or_none(source.manufacturer) or "unknown",
                    model_number=text_or_none(source.model_number),
                    description=text_or_none(source.description),
                )
            )
        return self._companion.device_models[name]

    def _counted_times_in_seconds(self, source: DynamicTable) -> dict[str, npt.NDArray[np.float64]]:
        """Times that are samples of a series, which stays in the source: nothing here would tell when they were."""
        if not isinstance(source, TimeIntervals):
            return {}
        stored = {name: np.asarray(source[name].data[:], dtype=np.float64) for name in ("start_time", "stop_time")}
        found = in_seconds(self._opened, source, *stored.values())
        return {name: times for name, times in zip(stored, found, strict=True) if times is not stored[name]}

    def _columns(
        self, source: DynamicTable, path: str, seconds: Mapping[str, npt.NDArray[np.float64]]
    ) -> tuple[list[VectorData], list[str]]:
        """Copies of the columns that can be kept, and the names of the others."""
        kept: list[VectorData] = []
        left_out: list[str] = []
        ends_of_spikes = _ends_of_spikes(source)
        for name in source.colnames:
            indices, leaf = _indices_and_values(source[name])
            ends = [np.asarray(index.data[:]) for index in indices]
            # A column that is ragged as the spike times are has a value for every spike.
            per_spike = ends and ends_of_spikes is not None and np.array_equal(ends[0], ends_of_spikes)
            fits = _run_through(ends, indices) and (name == _SPIKE_TIMES or not per_spike)
            stored = self._values(source, name, leaf, path) if fits else None
            values = seconds.get(name, stored)
            if values is None:
                left_out.append(as_text(name))
                continue
            column = VectorData(name=new_name(name), description=_said(leaf), data=values)
            copies = [column]
            for index, end in zip(reversed(indices), reversed(ends), strict=True):
                copies.insert(0, VectorIndex(name=new_name(index.name), data=end, target=copies[0]))
            kept += copies
        left_out += [as_text(name) for name in getattr(source, "category_tables", {})]
        left_out += [as_text(name) for name in source.meanings_tables]
        if isinstance(source, PlaneSegmentation) and source.reference_images:
            left_out.append("reference_images")
        return kept, left_out

    def _values(self, source: DynamicTable, name: str, leaf: VectorData, path: str) -> Any:
        """What a copy of the column stores, or nothing where it stays behind."""
        if isinstance(leaf, DynamicTableRegion | TimeSeriesReferenceVectorData):
            return None
        stored = leaf.data
        if isinstance(source, PlaneSegmentation) and name in (IMAGE_MASK, *PIXEL_MASKS):
            return self._masks(name, stored, path)
        if isinstance(stored, ReferenceResolver) or (isinstance(source, Units) and name in _WAVEFORMS):
            return None
        is_spikes = isinstance(source, Units) and name == _SPIKE_TIMES
        if _raw_bytes(stored) > (_SPIKE_BYTES if is_spikes else _COLUMN_BYTES):
            return None
        values = np.asarray(stored[:])
        if isinstance(leaf, EnumData):
            values = np.asarray(leaf.elements.data[:])[values]
        if values.dtype.kind in "biuf":
            return self._compressed(values)
        if values.dtype.kind in "OSTU" and all(isinstance(value, str | bytes) for value in values.ravel()):
            texts = text_values(values.ravel()).reshape(values.shape)
            return texts.tolist() if texts.size else np.zeros(texts.shape, dtype=np.str_)
        return None

    def _masks(self, name: str, stored: Any, path: str) -> Any:
        if name == IMAGE_MASK:
            return self._backend.compressed(StreamedMasks(stored, self._opened, path))
        # hdmf writes lists of pixels from memory only; they have twelve bytes for each pixel of a ROI.
        pixels = np.asarray(getattr(stored, "dataset", stored)[:])
        return self._compressed(pixels) if pixels.dtype.names == PIXEL_MASKS[name] else None

    def _compressed(self, values: npt.NDArray[Any]) -> Any:
        return self._backend.compressed(values) if values.nbytes >= _COMPRESSED_FROM_BYTES else values


def _indices_and_values(column: VectorData) -> tuple[list[VectorIndex], VectorData]:
    """The indices of a ragged column, the one that counts rows first, and what they point into."""
    indices = []
    while isinstance(column, VectorIndex):
        indices.append(column)
        column = column.target
    return indices, column


def _ends_of_spikes(source: DynamicTable) -> npt.NDArray[Any] | None:
    """Where each unit's spikes end among all spikes, where there are any."""
    if not isinstance(source, Units) or source.spike_times_index is None:
        return None
    return np.asarray(source.spike_times_index.data[:])


def _run_through(ends: list[npt.NDArray[Any]], indices: list[VectorIndex]) -> bool:
    """Whether rows of a ragged column begin where the one before ends, and none runs past the values."""
    for end, index in zip(ends, indices, strict=True):
        steps = np.diff(end.astype(np.int64), prepend=0)
        if (steps < 0).any() or (len(end) and int(end[-1]) > len(index.target.data)):
            return False
    return True


def _raw_bytes(stored: Any) -> int:
    shape = getattr(stored, "shape", None)
    dtype = getattr(stored, "dtype", None)
    if shape is None or not isinstance(dtype, np.dtype):
        return int(np.asarray(stored[:]).nbytes)
    return int(np.prod(shape, dtype=np.int64)) * int(dtype.itemsize)


def _coordinates(source: ImagingPlane, field: str) -> dict[str, Any]:
    values = getattr(source, field)
    if values is None:
        return {}
    unit = text_or_none(getattr(source, f"{field}_unit"))
    return {field: np.asarray(values[:], dtype=np.float64)} | ({} if unit is None else {f"{field}_unit": unit})


def _description(source: DynamicTable, left_out: list[str], in_seconds_here: list[str]) -> str:
    sentences = [text_or_none(source.description) or f"Table {as_text(source.name)}."]
    if in_seconds_here:
        sentences.append(f"In seconds here, numbers of samples in the source: {', '.join(in_seconds_here)}.")
    if left_out:
        sentences.append(f"Left out of this copy, and to be found in the source: {', '.join(left_out)}.")
    if len(sentences) == 1:
        return sentences[0]
    said = sentences[0].rstrip()
    return " ".join([said if said.endswith((".", "!", "?")) else f"{said}.", *sentences[1:]])


def _said(column: VectorData) -> str:
    return text_or_none(column.description) or f"Column {as_text(column.name)}."
