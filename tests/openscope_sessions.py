"""Eight NWB sessions of eight mice from OpenScope's published example traces. Their times are INVENTED.

Source: ``ophys/openscope_gabor_trials.json`` (figure data of the OpenScope Credit Assignment project, DANDI:000037,
two-photon imaging of VISp): single-trial dF/F of 24 hand-picked ROIs of eight mice, 82 to 105 trials of 45 samples,
-0.9 to 0.6 s around the onset of Gabor frame 3 in unexpected sequences (``gabfr`` 3, ``unexp`` 1), scaled and smoothed
by their authors.

What is real: the dF/F values, the order of trials and samples, and the mice, lines, planes, ROI numbers and imaging
rates they belong to.

What is not, and says so in every file:

* the session clock. Trials are laid one after the other, :data:`TRIAL_INTERVAL` seconds apart, in the order of the
  file; 0.5 s between two trials have no samples;
* the pictures. A sequence is A, B, C, U (where D was expected) and grey, 0.3 s each; the four pictures are stand-in
  Gabor patches drawn here, because the orientation of each trial is not in the source. So every trial shows the same
  four pictures, and only a split by presentation (not by stimulus content) makes sense;
* the subjects' age and sex, which the source does not state (``P0D/`` and ``U``).

There are no coordinates, and the masks are empty: the source has none.

    python -m tests.openscope_sessions openscope_gabor_trials.json FOLDER
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nwb_mivae.outputs import whole_file

__all__ = ["PICTURES", "TRIAL_INTERVAL", "stand_in_gabors", "write_openscope_sessions"]

#: Seconds from the start of one trial to the next on the invented clock.
TRIAL_INTERVAL = 2.0
#: Seconds each element of a sequence is shown.
ELEMENT = 0.3
PICTURES = ("A", "B", "C", "U")
#: Seconds before the onset of Gabor frame 3 (the fourth element) at which the samples of a trial begin.
BEFORE = 0.9

_INVENTED = (
    "TIMES ARE INVENTED: trials of real dF/F are laid one after the other on a made-up clock. "
    "PICTURES ARE STAND-INS: the four Gabor pictures were drawn for testing."
)


def write_openscope_sessions(source: Path, folder: Path) -> list[Path]:
    """Write one NWB file per mouse into ``folder`` and return their paths, in order of mouse."""
    table = json.loads(Path(source).read_text(encoding="utf-8"))["ex_traces_df"]
    mice: dict[int, list[str]] = {}
    for row in table["mouseids"]:
        mice.setdefault(int(table["mouseids"][row]), []).append(row)
    paths = []
    for mouse, rows in sorted(mice.items()):
        session = int(table["sessids"][rows[0]])
        path = Path(folder) / f"sub-{mouse}_ses-{session}_image+ophys.nwb"
        with whole_file(path) as beside:
            _write(beside, mouse, session, {name: [column[row] for row in rows] for name, column in table.items()})
        paths.append(path)
    return paths


def stand_in_gabors(
    height: int = 36, width: int = 64, *, n_patches: int = 16, seed: int = 905
) -> npt.NDArray[np.uint8]:
    """Four pictures (4, height, width) of scattered Gabor patches, each its own places, sizes and mean orientation."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    pictures = np.zeros((len(PICTURES), height, width))
    for number, picture in enumerate(pictures):
        orientation = np.deg2rad(45.0 * number) + random.vonmises(0.0, 16.0, n_patches)
        for angle in orientation:
            centre_y, centre_x = random.uniform(0, height), random.uniform(0, width)
            size, phase = random.uniform(2.5, 4.0), random.uniform(0, 2 * np.pi)
            along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
            envelope = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * size**2))
            picture += envelope * np.cos(2 * np.pi * along / (2 * size) + phase)
    return np.rint(127.5 + 127.5 * np.clip(pictures, -1, 1)).astype(np.uint8)


def _write(path: Path, mouse: int, session: int, rois: dict[str, list[Any]]) -> None:
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.base import Images
    from pynwb.epoch import TimeIntervals
    from pynwb.file import Subject
    from pynwb.image import GrayscaleImage
    from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel, PlaneSegmentation

    # (trials, samples, rois) of this mouse; every ROI of a mouse has the same trials.
    activity = np.stack([np.asarray(traces, dtype=np.float32) for traces in rois["traces_sm"]], axis=-1)
    within = np.asarray(rois["time_values"][0], dtype=np.float64)
    n_trials = len(activity)
    trial_start = TRIAL_INTERVAL * np.arange(1, n_trials + 1, dtype=np.float64)
    nwbfile = NWBFile(
        session_description=f"OpenScope Credit Assignment, example ROIs, unexpected Gabor sequences. {_INVENTED}",
        identifier=f"openscope-gabors-{session}",
        session_start_time=datetime(1970, 1, 1, tzinfo=UTC),
        session_id=str(session),
        notes=_INVENTED,
        institution="Allen Institute for Brain Science (source of the traces)",
        experiment_description="Responses to unexpected Gabor sequences, from DANDI:000037",
        keywords=["two-photon calcium imaging", "primary visual cortex", "invented times"],
        subject=Subject(
            subject_id=str(mouse), species="Mus musculus", sex="U", age="P0D/", genotype=str(rois["lines"][0])
        ),
    )
    device = nwbfile.create_device(name="microscope", description="Two-photon microscope of the OpenScope project")
    plane = nwbfile.create_imaging_plane(
        name="imaging_plane",
        optical_channel=OpticalChannel(name="green", description="GCaMP6f", emission_lambda=520.0),
        description=f"{rois['lines'][0]}, {rois['planes'][0]}",
        device=device,
        excitation_lambda=910.0,
        imaging_rate=float(rois["twop_fps"][0]),
        indicator="GCaMP6f",
        location="VISp",
    )
    table = PlaneSegmentation(
        name="PlaneSegmentation",
        description="Example ROIs; masks and positions are not in the source",
        imaging_plane=plane,
        columns=[
            VectorData(name="roi_n", description="ROI number in the source", data=list(rois["roi_ns"])),
            # pynwb demands masks; empty ones say that there are none.
            VectorData(name="image_mask", description="Empty", data=np.zeros((activity.shape[-1], 1, 1), np.float32)),
        ],
        colnames=["roi_n", "image_mask"],
        id=list(range(activity.shape[-1])),
    )
    module = nwbfile.create_processing_module(name="ophys", description="Traces as published, trial by trial")
    module.add(ImageSegmentation(name="ImageSegmentation", plane_segmentations=[table]))
    container = DfOverF(name="DfOverF")
    module.add(container)
    container.create_roi_response_series(
        name="DfOverF",
        description=f"dF/F, scaled and smoothed over four samples by its authors. {_INVENTED}",
        data=activity.reshape(-1, activity.shape[-1]),
        unit="n.a.",
        rois=table.create_roi_table_region(region=list(range(activity.shape[-1])), description="every ROI"),
        timestamps=(trial_start[:, None] + within - within[0]).ravel(),
    )
    nwbfile.add_stimulus_template(
        Images(
            name="gabors",
            description=f"Stand-ins of {', '.join(PICTURES)}; not what was shown.",
            images=[
                GrayscaleImage(
                    name=f"gabors_{number}", data=picture, description="Stand-in Gabor picture (row, column)"
                )
                for number, picture in enumerate(stand_in_gabors())
            ],
        )
    )
    n_elements = len(PICTURES) + 1
    start = (trial_start[:, None] + ELEMENT * np.arange(n_elements)).ravel()
    frame = np.tile([*range(len(PICTURES)), -1], n_trials)
    columns = [
        VectorData(name="start_time", description=f"Onset in seconds. {_INVENTED}", data=start),
        VectorData(name="stop_time", description="End in seconds", data=start + ELEMENT),
        VectorData(name="stimulus_name", description="Template", data=["gabors"] * len(start)),
        VectorData(name="frame", description="Picture of the template from 0, -1 for grey", data=frame),
        VectorData(name="stimulus_block", description="Trial, from 0", data=np.repeat(np.arange(n_trials), n_elements)),
    ]
    nwbfile.add_time_intervals(
        TimeIntervals(
            name="gabors_presentations",
            description=f"Sequences A, B, C, U, grey of {ELEMENT} s each; Gabor frame 3 (U) begins {BEFORE} s after A.",
            columns=columns,
            colnames=[column.name for column in columns],
        )
    )
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwbfile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="openscope_gabor_trials.json")
    parser.add_argument("folder", type=Path, help="where the eight NWB files go")
    given = parser.parse_args()
    for path in write_openscope_sessions(given.source, given.folder):
        print(path)


if __name__ == "__main__":
    main()
