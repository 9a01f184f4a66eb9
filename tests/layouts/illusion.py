"""000248, OpenScope Illusion (Neuropixels): tables of 000021, and pictures as Images that are called like the table.

Traps: pictures come back in alphabetical order and are found by name only; the tables of Gabors have Images of their
name too (RGB, another size), but no column that says which; electrodes are described as posterior, inferior, right, and
yet ``z`` repeats ``y``; descriptions of tables have two lines.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pynwb import NWBFile
from pynwb.base import Images
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, RGBImage

from tests.layouts.stored import changed
from tests.layouts.truth import LayoutTruth, Presentation, pictures
from tests.layouts.visual_coding_neuropixels import (
    Column,
    Shown,
    add_presentations,
    add_recording,
    as_allen_extension,
    as_stored_then,
    display_clock,
)
from tests.nwb_files import write as write_file

__all__ = ["N_PICTURES", "write"]

#: Pictures of each illusory-contour set.
N_PICTURES = 22
_SETS = ("ICkcfg0", "ICwcfg1")


def write(folder: Path, *, size: tuple[int, int] = (15, 24), extension: bool = True) -> LayoutTruth:
    """Write a session with two sets of pictures, one of Gabors and spontaneous activity.

    Parameters
    ----------
    size : (height, width)
        Of the pictures; 1200 x 1920 in the published files.
    extension : bool
        Probes, groups and subject of types that only the cached namespace in the file knows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nwbfile = NWBFile(
        session_description="Data and metadata for an Ecephys session",
        identifier="1184980079",
        session_start_time=datetime(2022, 6, 16, tzinfo=UTC),
        session_id="1184980079",
        institution="Allen Institute",
        stimulus_notes="OpenScopeIllusion",
        subject=Subject(subject_id="1171903433", species="Mus musculus", sex="M", age="P98D", genotype="wt/wt"),
    )
    told = add_presentations(
        nwbfile,
        _tables(),
        description=(
            "Presentation times and stimuli details for '{}' stimuli. \n"
            "Note: image_name references control_description in stimulus/templates"
        ),
        template="{}_presentations",
    )
    first = {f"{name}_presentations": N_PICTURES * number for number, name in enumerate(_SETS)}
    for template, number in first.items():
        drawn = pictures(N_PICTURES, *size, first=number)
        nwbfile.add_stimulus_template(
            Images(
                name=template,
                description="movie",
                images=[GrayscaleImage(name=f"{template}{frame}", data=drawn[frame]) for frame in range(N_PICTURES)],
            )
        )
    grey = np.full((8, 8, 3), 127, dtype=np.uint8)
    nwbfile.add_stimulus_template(
        Images(
            name="RFCI_presentations",
            description="movie",
            images=[RGBImage(name=f"RFCI_presentations{frame}", data=grey) for frame in range(3)],
        )
    )
    positions, spikes = add_recording(
        nwbfile,
        told,
        coordinates="z duplicates y",
        eye_tracking=False,
        probe_description="Neuropixels 1.0 Probe",
    )
    invalid = ((told[2].start, told[3].stop),)
    nwbfile.add_invalid_time_interval(
        start_time=invalid[0][0], stop_time=invalid[0][1], tags=["EcephysProbe", "810755797", "probeA"]
    )
    path = write_file(nwbfile, folder / "sub-1171903433_ses-1184980079_ogen.nwb")
    with changed(path) as root:
        as_stored_then(root)
        electrodes = root["general/extracellular_ephys/electrodes"]
        for axis, direction in (("x", "posterior"), ("y", "inferior"), ("z", "right")):
            electrodes[axis].attrs["description"] = f"the {axis} coordinate of the position (+{axis} is {direction})"
        if extension:
            as_allen_extension(root)
    return LayoutTruth(
        name="OpenScope Illusion",
        dandisets=("000248",),
        files=(path,),
        n_cells_all=8,
        n_cells_valid=4,
        trace_kind="spikes",
        trace_path="units",
        positions=positions,
        presentations=tuple(_with_picture(row, first) for row in told),
        encodes=None,
        trace_times=np.zeros(0),
        spikes=spikes,
        invalid_times=invalid,
        templates_with_pixels=tuple(first),
        running="processing/running/running_speed",
    )


def _with_picture(row: Presentation, first: dict[str, int]) -> Presentation:
    if row.template is None:
        return row
    return Presentation(
        row.start,
        row.stop,
        row.stimulus,
        row.template,
        frame=row.frame,
        picture=first[row.template] + row.frame,
        block=row.block,
    )


def _tables() -> dict[str, list[Shown]]:
    flip, at = display_clock(3000, first=24.8), 120
    tables: dict[str, list[Shown]] = {}
    spontaneous = [Shown(flip[0], flip[at], {"stimulus_name": "spontaneous"})]
    gabor: dict[str, Column] = {
        "color": "[1.0, 1.0, 1.0]",
        "Mask": "circle",
        "opacity": 1.0,
        "phase": "[3644.93333333, 3644.93333333]",
        "size": "[16.0, 16.0]",
        "units": "deg",
        "temporal_frequency": 2.0,
        "spatial_frequency": "0.04",
        "contrast": 1.0,
    }
    places = [(0.0, 0.0, 0.0), (0.0, -16.0, 45.0), (16.0, 0.0, 90.0)]
    order = {"ICkcfg0": 6 * (0, 10, 2, 21, 1, 9, 0), "ICwcfg1": 3 * (3, 11, 20, 12)}
    for block, (stimulus, rows, shown_for) in enumerate(
        (
            ("ICkcfg0", [{"frame": float(frame)} for frame in order["ICkcfg0"]], 24),
            ("ICwcfg1", [{"frame": float(frame)} for frame in order["ICwcfg1"]], 24),
            ("RFCI", [{**gabor, "x_position": x, "y_position": y, "orientation": o} for x, y, o in places], 15),
            ("ICwcfg1", [{"frame": float(frame)} for frame in order["ICwcfg1"]], 24),
        )
    ):
        for columns in rows:
            named: dict[str, Column] = {
                "stimulus_name": stimulus,
                "stimulus_block": float(block),
                "stimulus_index": float(block % 3),
            }
            tables.setdefault(stimulus, []).append(Shown(flip[at], flip[at + shown_for], {**named, **columns}))
            at += shown_for
        spontaneous.append(Shown(flip[at], flip[at + 60], {"stimulus_name": "spontaneous"}))
        at += 60
    return {**tables, "spontaneous": spontaneous}
