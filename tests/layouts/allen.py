"""What files written with AllenSDK have in common: extension types, ROI tables, presentations, running and eyes.

Facts: AllenSDK's `brain_observatory/nwb` and `behavior/data_objects`, and listings of published files of 000711 and
000336.
The extensions are generated here with the same names and fields and cached in every file, so that a reader meets types
that it has no package for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hdmf.build import TypeMap
from pynwb import NWBFile, TimeSeries, get_type_map
from pynwb.base import Images
from pynwb.image import GrayscaleImage
from pynwb.ophys import DfOverF, Fluorescence, ImageSegmentation, OpticalChannel, PlaneSegmentation
from pynwb.spec import NWBAttributeSpec, NWBDatasetSpec, NWBGroupSpec, NWBNamespaceBuilder

from tests.layouts.building import as_old_writers_did, intervals_table

__all__ = [
    "add_eye_tracking",
    "add_ophys",
    "add_presentations",
    "add_running",
    "add_stimulus_clock",
    "allen_type",
    "allen_types",
]

FloatArray = npt.NDArray[np.float64]

_COLUMN_DESCRIPTIONS = {
    "stimulus_name": "Name of stimulus",
    "stimulus_block": "Index of contiguous presentations of one stimulus type",
    "stimulus_index": "Index of stimulus type",
    "frame": "Frame of movie stimulus",
    "start_time": "Start time of epoch, in seconds",
    "stop_time": "Stop time of epoch, in seconds",
}
_METADATA = {
    "behavior_session_id": "int",
    "behavior_session_uuid": "text",
    "equipment_name": "text",
    "session_type": "text",
    "stimulus_frame_rate": "float",
}
_OPHYS_METADATA = {
    **_METADATA,
    "field_of_view_height": "int",
    "field_of_view_width": "int",
    "imaging_depth": "int",
    "imaging_plane_group": "int",
    "imaging_plane_group_count": "int",
    "ophys_container_id": "int",
    "ophys_experiment_id": "int",
    "ophys_session_id": "int",
    "project_code": "text",
    "targeted_imaging_depth": "int",
}


def allen_type(name: str) -> Any:
    """The class of one of the extensions' types, such as `StimulusTemplate`."""
    return allen_types().get_dt_container_cls(name, _NAMESPACE_OF[name])


@lru_cache(maxsize=1)
def allen_types() -> TypeMap:
    """Every type that pynwb knows and the extensions', without registering the latter for readers in this process."""
    types = get_type_map()
    with tempfile.TemporaryDirectory() as folder:
        for namespace, specifications in _extensions().items():
            builder = NWBNamespaceBuilder(
                name=namespace,
                doc=f"{namespace} of the Allen Institute",
                version="0.1.0",
                author=["Allen Institute for Brain Science"],
                contact=["support@example.org"],
            )
            builder.include_namespace("core")
            for specification in specifications:
                builder.add_spec(f"{namespace}.extensions.yaml", specification)
            builder.export(f"{namespace}.namespace.yaml", outdir=folder)
            types.load_namespaces(str(Path(folder) / f"{namespace}.namespace.yaml"))
    return types


_NAMESPACE_OF = {
    "OphysEventDetection": "ndx-aibs-ophys-event-detection",
    "StimulusTemplate": "ndx-aibs-stimulus-template",
    "EllipseSeries": "ndx-ellipse-eye-tracking",
    "EllipseEyeTracking": "ndx-ellipse-eye-tracking",
    "BehaviorMetadata": "ndx-aibs-behavior-ophys",
    "OphysBehaviorMetadata": "ndx-aibs-behavior-ophys",
    "OphysMetadata": "ndx-aibs-behavior-ophys",
    "BehaviorSubject": "ndx-aibs-behavior-ophys",
}


def _extensions() -> dict[str, list[NWBGroupSpec]]:
    def dataset(name: str, shape: tuple[int | None, ...], *, dtype: str = "float") -> NWBDatasetSpec:
        return NWBDatasetSpec(name=name, dtype=dtype, shape=shape, doc=name)

    def metadata(name: str, fields: Mapping[str, str], *, base: str = "LabMetaData") -> NWBGroupSpec:
        attributes = [
            NWBAttributeSpec(name=field, dtype=kind, doc=field, required=False) for field, kind in fields.items()
        ]
        return NWBGroupSpec(neurodata_type_def=name, neurodata_type_inc=base, doc=name, attributes=attributes)

    return {
        "ndx-aibs-ophys-event-detection": [
            NWBGroupSpec(
                neurodata_type_def="OphysEventDetection",
                neurodata_type_inc="RoiResponseSeries",
                name="event_detection",
                doc="Stores event detection output",
                datasets=[dataset("lambdas", (None,)), dataset("noise_stds", (None,))],
            )
        ],
        "ndx-aibs-stimulus-template": [
            NWBGroupSpec(
                neurodata_type_def="StimulusTemplate",
                neurodata_type_inc="ImageSeries",
                doc="Images as warped for the monitor, and as they were before",
                datasets=[dataset("unwarped", (None, None, None))],
            )
        ],
        "ndx-ellipse-eye-tracking": [
            NWBGroupSpec(
                neurodata_type_def="EllipseSeries",
                neurodata_type_inc="SpatialSeries",
                doc="Information about an ellipse moving over time",
                datasets=[
                    *(dataset(name, (None,)) for name in ("area", "area_raw", "width", "height", "angle")),
                ],
            ),
            NWBGroupSpec(
                neurodata_type_def="EllipseEyeTracking",
                neurodata_type_inc="EyeTracking",
                default_name="EyeTracking",
                doc="Stores detailed eye tracking information output from DeepLabCut",
                groups=[
                    *(
                        NWBGroupSpec(name=name, neurodata_type_inc="EllipseSeries", doc=name)
                        for name in ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking")
                    ),
                    NWBGroupSpec(name="likely_blink", neurodata_type_inc="TimeSeries", doc="blinks"),
                ],
            ),
        ],
        "ndx-aibs-behavior-ophys": [
            metadata("BehaviorMetadata", _METADATA),
            metadata("OphysBehaviorMetadata", _OPHYS_METADATA),
            metadata("OphysMetadata", {name: _OPHYS_METADATA[name] for name in sorted(_OPHYS_METADATA)}),
            metadata(
                "BehaviorSubject",
                {"age_in_days": "text", "reporter_line": "text", "driver_line": "text"},
                base="Subject",
            ),
        ],
    }


def add_ophys(
    nwbfile: NWBFile,
    *,
    times: FloatArray,
    values: FloatArray,
    masks: npt.NDArray[np.bool_],
    valid: npt.NDArray[np.bool_],
    imaging_depth: int,
    location: str,
    rate: float,
    device: tuple[str, str],
    specimen_ids: Sequence[int],
    first_roi_id: int,
    event_rows: Sequence[int] | None,
    ratios: bool,
    demixed: bool,
) -> PlaneSegmentation:
    """The ophys module: `cell_specimen_table`, dF/F, fluorescence and events, as (time, ROI); the ROI table.

    ``event_rows`` are the rows of the table that `event_detection` holds; ``ratios`` adds the series `r` and `RMSE`,
    one number per ROI.
    """
    height, width = masks.shape[1:]
    plane = nwbfile.create_imaging_plane(
        name="imaging_plane_1",
        optical_channel=OpticalChannel(name="channel_1", description="2P Optical Channel", emission_lambda=520.0),
        description=f"{(width, height)} field of view in {location} at depth {imaging_depth} um",
        device=nwbfile.create_device(name=device[0], description=device[1]),
        excitation_lambda=910.0,
        imaging_rate=rate,
        indicator="GCaMP6f",
        location=location,
    )
    module = nwbfile.create_processing_module("ophys", "Ophys processing module")
    segmentation = ImageSegmentation(name="image_segmentation")
    module.add(segmentation)
    rois = segmentation.create_plane_segmentation(
        name="cell_specimen_table", description="Segmented rois", imaging_plane=plane
    )
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    top, left = rows.argmax(axis=1), columns.argmax(axis=1)
    described = {
        "cell_specimen_id": (specimen_ids, "Unified id of segmented cell across experiments (after cell matching)"),
        "height": (rows.sum(axis=1), "Height of ROI in pixels"),
        "mask_image_plane": (np.zeros(len(masks), dtype=np.int64), "Which image plane an ROI resides on."),
        "max_correction_down": (np.full(len(masks), 8.0), "Max motion correction in down direction in pixels"),
        "max_correction_left": (np.full(len(masks), 5.0), "Max motion correction in left direction in pixels"),
        "max_correction_right": (np.full(len(masks), 4.0), "Max motion correction in right direction in pixels"),
        "max_correction_up": (np.full(len(masks), 9.0), "Max motion correction in up direction in pixels"),
        "valid_roi": (valid, "Indicates if cell classification found the ROI to be a cell or not"),
        "width": (columns.sum(axis=1), "Width of ROI in pixels"),
        "x": (left, "x position of ROI in Image Plane in pixels (top left corner)"),
        "y": (top, "y position of ROI in Image Plane in pixels (top left corner)"),
    }
    for row, mask in enumerate(masks):
        rois.add_roi(id=first_roi_id + row, image_mask=mask)
    for name, (data, description) in described.items():
        rois.add_column(name=name, description=description, data=np.asarray(data))

    every = rois.create_roi_table_region(
        description="segmented cells labeled by cell_specimen_id", region=list(range(len(masks)))
    )
    stored = values.astype(np.float64)
    dff = DfOverF(name="dff")
    module.add(dff)
    traces = dff.create_roi_response_series(name="traces", data=stored, unit="NA", rois=every, timestamps=times)
    raw = {"corrected_fluorescence": 500 + 60 * stored, "neuropil_trace": 300 - stored}
    if demixed:
        raw["demixed_trace"] = 700 + 65 * stored
    for name, data in raw.items():
        container = Fluorescence(name=name)
        module.add(container)
        container.create_roi_response_series(name="traces", data=data, unit="NA", rois=every, timestamps=traces)
        if ratios and name == "corrected_fluorescence":
            for ratio in ("r", "RMSE"):
                container.add_roi_response_series(
                    as_old_writers_did(
                        type(traces),
                        name=ratio,
                        data=np.linspace(0.1, 0.9, len(masks)),
                        unit="NA",
                        rois=every,
                        timestamps=traces,
                    )
                )
    if event_rows is not None:
        sparse = np.where(np.arange(len(times))[:, None] % 20 == 3, stored[:, list(event_rows)], 0.0)
        module.add(
            allen_type("OphysEventDetection")(
                data=sparse,
                lambdas=np.full(len(event_rows), 0.3),
                noise_stds=np.full(len(event_rows), 0.05),
                unit="N/A",
                rois=rois.create_roi_table_region(description="Cells with detected events", region=list(event_rows)),
                timestamps=traces,
            )
        )
    for axis in "xy":
        module.add(
            TimeSeries(
                name=f"ophys_motion_correction_{axis}",
                data=np.zeros(len(times)),
                timestamps=traces,
                unit="pixels",
            )
        )
    projection = np.where(masks.any(axis=0), 200, 30).astype(np.uint8)
    module.add(
        Images(
            name="images",
            images=[
                GrayscaleImage(
                    name=name,
                    data=projection,
                    # "spacing[0] / 10" of a spacing in millimetres: neither pixels per centimetre nor its inverse.
                    resolution=0.00078,
                    description=f"{name} image at pixels/cm resolution",
                )
                for name in ("max_projection", "average_image", "segmentation_mask_image")
            ],
        )
    )
    return rois


def add_stimulus_clock(nwbfile: NWBFile, times: FloatArray, module: str = "stimulus") -> TimeSeries:
    """`processing/stimulus/timestamps`, one value per refresh of the display, to which presentations refer."""
    clock = TimeSeries(name="timestamps", data=times, timestamps=times, unit="s")
    nwbfile.create_processing_module(module, "Stimulus Times processing").add(clock)
    return clock


def add_presentations(
    nwbfile: NWBFile,
    stimulus: str,
    columns: Mapping[str, Any],
    clock: TimeSeries,
) -> None:
    """`intervals/<stimulus>_presentations`, its columns in alphabetical order."""
    nwbfile.add_time_intervals(
        intervals_table(
            f"{stimulus}_presentations",
            f"Presentation times and stimuli details for '{stimulus}' stimuli. \n"
            "Note: image_name references control_description in stimulus/templates",
            {name: columns[name] for name in sorted(columns)},
            descriptions=_COLUMN_DESCRIPTIONS,
            refers_to=clock,
            tag="stimulus_time_interval",
        )
    )


def add_running(nwbfile: NWBFile, times: FloatArray) -> None:
    """`processing/running` and the encoder's voltages in `acquisition`."""
    module = nwbfile.create_processing_module("running", "Running speed processing module")
    speed = 20 + 10 * np.sin(times)
    for name, data, unit in (
        ("speed", speed, "cm/s"),
        ("speed_unfiltered", speed + 1, "cm/s"),
        ("dx", speed / 60, "cm"),
    ):
        module.add(TimeSeries(name=name, data=data, timestamps=times, unit=unit))
    for name in ("v_in", "v_sig"):
        nwbfile.add_acquisition(TimeSeries(name=name, data=np.full(len(times), 5.0), timestamps=times, unit="V"))


def add_eye_tracking(nwbfile: NWBFile, times: FloatArray) -> None:
    """`acquisition/EyeTracking`: ellipses of eye, pupil and reflection, NaN where the mouse blinked."""
    blink = np.zeros(len(times), dtype=bool)
    blink[20:24] = True
    series = {}
    for name, size in (("eye_tracking", 60.0), ("pupil_tracking", 20.0), ("corneal_reflection_tracking", 5.0)):
        width = np.where(blink, np.nan, size + np.sin(times))
        height = np.where(blink, np.nan, size + np.cos(times))
        area = np.pi * np.maximum(width, height) ** 2
        series[name] = allen_type("EllipseSeries")(
            name=name,
            reference_frame="nose",
            data=np.column_stack([np.sin(times), np.cos(times)]),
            area=area,
            area_raw=area,
            width=width,
            height=height,
            angle=np.zeros(len(times)),
            timestamps=times,
            unit="pixels",
        )
    tracking = allen_type("EllipseEyeTracking")(
        name="EyeTracking",
        likely_blink=TimeSeries(
            name="likely_blink", description="blinks", data=blink, timestamps=series["eye_tracking"], unit="N/A"
        ),
        **series,
    )
    nwbfile.add_acquisition(tracking)
