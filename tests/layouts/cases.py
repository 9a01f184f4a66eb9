"""The matrix of layouts: which files are written, and what is known of them beyond :class:`LayoutTruth`.

A case is one session in one layout with one set of oddities. Those with :attr:`Case.main` stand in the table of
``python -m tests.benchmarks.reading.layouts``; the others are the same layouts with what some of their files hold.

Where the truth of a builder is a choice, a field here says which others are right: :attr:`Case.stimulus_names`,
:attr:`Case.renamed`, :attr:`Case.repeats`, :attr:`Case.may_be_omitted`, :attr:`Case.micrometres_per_pixel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nwb_mivae.sessions import Granularity
from tests.layouts import (
    brain_observatory_v1,
    contrast_tuning,
    credit_assignment,
    differentiation,
    illusion,
    microns,
    openscope,
    openscope_2026,
    visual_behavior,
    visual_coding,
    visual_coding_neuropixels,
)
from tests.layouts.truth import LayoutTruth, LinearInTime

__all__ = ["CASES", "Case"]

#: Rows at the display's own rate that each show another frame: told frame by frame and refresh by refresh alike.
_EACH_REFRESH: tuple[Granularity, ...] = ("movie frame", "display frame")


@dataclass(frozen=True)
class Case:
    """One session to be written, read and compared with its truth.

    Attributes
    ----------
    key : str
        Name in tests and tables.
    write : callable
        Writes the files into a folder and says what is true of them.
    unit : str
        Of the traces as a session has them.
    orientation : str
        How the chosen traces are stored.
    granularity : mapping of str to tuple of Granularity
        Path of a stimulus table or series, with ``*`` for any text, to what its rows may be called.
    drawn : tuple of str
        Stimuli without pixels whose parameters suffice to draw them.
    told_by_parameters : tuple of str
        Stimuli without pixels that a file tells by parameters too few, or in units too unclear, to draw them: they may
        be missing, but not as a file that lies elsewhere.
    micrometres_per_pixel : float or None
        Known of the microscope and not in the file: coordinates made with it are right if they are called a guess.
    refused : tuple of str
        Words of the error where the file cannot be read, by design.
    not_prepared : tuple of str
        Words of the error where a session is read and cannot be prepared, by design.
    stimulus_names : tuple of str
        What the file calls stimuli beside the names in the truth.
    renamed : bool
        The file tells of the same frames twice, under two names: then the pixels decide, not name and number.
    repeats : str
        ``"frames"`` count by template and frame or by parameters, ``"pictures"`` by what the pixels show;
        ``"unknown"`` where the truth leaves out what tells conditions apart.
    may_be_omitted : bool
        Grey in place of an expected grating: the truth calls it blank, and a reader may call it omitted, too.
    main : bool
        Whether it stands in the table.
    slow : bool
        Whether a test of it takes more than three seconds.
    """

    key: str
    write: Callable[[Path], LayoutTruth]
    unit: str = ""
    orientation: str = "time x cells"
    granularity: Mapping[str, tuple[Granularity, ...]] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()
    told_by_parameters: tuple[str, ...] = ()
    micrometres_per_pixel: float | None = None
    refused: tuple[str, ...] = ()
    not_prepared: tuple[str, ...] = ()
    stimulus_names: tuple[str, ...] = ()
    renamed: bool = False
    repeats: Literal["frames", "pictures", "unknown"] = "frames"
    may_be_omitted: bool = False
    main: bool = True
    slow: bool = False

    def odd(self, oddity: str, write: Callable[[Path], LayoutTruth], **changed: object) -> Case:
        """The same layout with something that some of its files have or lack."""
        return replace(self, key=f"{self.key}, {oddity}", write=write, main=False, slow=False, **changed)  # type: ignore[arg-type]


def _five_planes(folder: Path) -> LayoutTruth:
    """Planes of two areas; their order is that of their paths, as HDF5 lists them, and not that of their numbers."""
    truth = openscope_2026.write(folder, n_planes=5)
    names = openscope_2026.PLANES[:5]
    n_cells = truth.n_cells_valid // len(names)
    by_path = sorted(range(len(names)), key=lambda plane: names[plane])
    cells = np.concatenate([np.arange(n_cells) + n_cells * plane for plane in by_path])
    assert isinstance(truth.encodes, LinearInTime)
    assert truth.pixels is not None
    assert truth.trace_path is not None
    return replace(
        truth,
        trace_path=truth.trace_path.replace(names[0], names[by_path[0]]),
        positions=truth.positions[cells],
        pixels=truth.pixels[cells],
        encodes=LinearInTime(truth.encodes.offset[cells], truth.encodes.slope[cells]),
    )


_CODING = Case(
    "000728 session A",
    partial(visual_coding.write, session="A"),
    unit="a.u.",
    granularity={
        "stimulus/presentation/*_gratings": ("parameters",),
        "stimulus/presentation/natural_movie_*_stimulus": ("movie frame",),
        "stimulus/presentation/natural_scenes_stimulus": ("image",),
        "stimulus/presentation/locally_sparse_noise*_stimulus": ("image",),
        "stimulus/presentation/spontaneous_stimulus": ("none",),
    },
    drawn=("drifting_gratings", "static_gratings"),
)
_CODING_B, _CODING_C, _CODING_C2 = (
    replace(_CODING, key=f"000728 session {name}", write=partial(visual_coding.write, session=name))
    for name in ("B", "C", "C2")
)
_BEHAVIOR = Case(
    "000711 one plane",
    visual_behavior.write,
    unit="NA",
    granularity={
        f"intervals/{visual_behavior.IMAGE_SET}_presentations": ("image",),
        f"stimulus/presentation/{visual_behavior.INDEX_SERIES}": ("image",),
        "intervals/natural_movie_one_presentations": ("movie frame",),
        "intervals/spontaneous_presentations": ("none",),
    },
    micrometres_per_pixel=visual_behavior.MICROMETRES_PER_PIXEL,
    slow=True,
)
_BEHAVIOR_PLANES = replace(
    _BEHAVIOR,
    key="000711 planes in several files",
    write=partial(visual_behavior.write, n_planes=3),
)
_BEHAVIOR_ONLY = replace(
    _BEHAVIOR,
    key="000711 behaviour only",
    write=partial(visual_behavior.write, behaviour_only=True),
    not_prepared=("no activity", "neither ROI traces nor units"),
    slow=False,
)
_MICRONS = Case(
    "000402",
    microns.write,
    unit="dF/F",
    granularity={
        "acquisition/Video*": _EACH_REFRESH,
        # Clips are films, Monet2 and Trippy are made from parameters and shown like films.
        "intervals/*": ("whole movie", "parameters"),
    },
    stimulus_names=("stimulus.Clip", "stimulus.Monet2", "stimulus.Trippy"),
    renamed=True,
    repeats="pictures",
)
_DENDRITES = Case(
    "000336 and 000871",
    openscope.write,
    unit="NA",
    granularity={
        "intervals/movie_*_presentations": ("movie frame",),
        "intervals/gratings_presentations": ("parameters",),
        "intervals/fixed_gabors_presentations": ("parameters",),
        "intervals/spontaneous_presentations": ("none",),
    },
    drawn=("gratings",),
    # Places and sizes are in pixels of a screen of which nothing is told.
    told_by_parameters=("fixed_gabors",),
    micrometres_per_pixel=0.78,
    slow=True,
)
_DENDRITES_TEMPLATES = replace(
    _DENDRITES, key="000336 and 000871 with templates", write=partial(openscope.write, templates=True)
)
_OPENSCOPE_2026 = Case(
    "001768",
    openscope_2026.write,
    unit="%",
    granularity={
        "intervals/Control block 2_presentations": ("parameters",),
        "intervals/Zebra_natural_movie_presentations": ("display frame",),
        "intervals/spontaneous_presentations": ("none",),
    },
    drawn=("Control block 2",),
    may_be_omitted=True,
)
_CREDIT = Case(
    "000037 with pixels",
    partial(credit_assignment.write, asset="image"),
    unit="dF/F",
    granularity={
        # Rows are pictures, seconds of a movie, or both as parameters: one word for all of them is a choice.
        "intervals/trials": ("image", "parameters", "movie frame"),
        "stimulus/presentation/gabors": ("display frame",),
        "stimulus/presentation/grayscreen": ("display frame",),
        "stimulus/presentation/visflow_*": _EACH_REFRESH,
    },
    drawn=("gabors",),
    # `stimulus_type` calls both movies visflow.
    stimulus_names=("visflow", "visflow_left", "visflow_right"),
)
_CREDIT_PLAIN = replace(
    _CREDIT,
    key="000037 without pixels",
    write=partial(credit_assignment.write, asset="plain"),
    # Two pictures of one mean orientation have other patches, of which the truth does not tell.
    repeats="unknown",
)
_CREDIT_RAW = replace(_CREDIT, key="000037 with raw imaging", write=partial(credit_assignment.write, asset="raw"))
_DIFFERENTIATION = Case(
    "000036",
    differentiation.write,
    unit="dF/F",
    orientation="cells x time",
    granularity={"stimulus/presentation/*": ("display frame",)},
)
_TUNING = Case(
    "000039",
    contrast_tuning.write,
    unit="lumens",
    granularity={"intervals/epochs": ("parameters",)},
    drawn=("epochs",),
)
_TUNING_49 = replace(_TUNING, key="000049", write=partial(contrast_tuning.write, dandiset="000049"))
_NEUROPIXELS = Case(
    "000021",
    visual_coding_neuropixels.write,
    unit="spikes",
    orientation="ragged",
    granularity={
        "intervals/*_gratings_presentations": ("parameters",),
        "intervals/gabors_presentations": ("parameters",),
        "intervals/flashes_presentations": ("parameters",),
        "intervals/natural_movie_*_presentations": ("movie frame",),
        "intervals/natural_scenes_presentations": ("image",),
        "intervals/spontaneous_presentations": ("none",),
    },
    drawn=("drifting_gratings", "static_gratings", "gabors", "flashes"),
)
_ILLUSION = Case(
    "000248",
    illusion.write,
    unit="spikes",
    orientation="ragged",
    granularity={
        "intervals/IC*_presentations": ("image",),
        "intervals/RFCI_presentations": ("parameters",),
        "intervals/spontaneous_presentations": ("none",),
    },
    drawn=("RFCI",),
)
_V1 = Case(
    "Brain Observatory v1",
    brain_observatory_v1.write,
    refused=("NWB-1.0.5", "000728", f"ses-{brain_observatory_v1.EXPERIMENT}-Stim"),
)

CASES: tuple[Case, ...] = (
    _CODING,
    _CODING_B,
    _CODING_C,
    _CODING_C2,
    _CODING.odd("one timestamp more", partial(visual_coding.write, session="A", more_timestamps=1)),
    _CODING.odd("one timestamp fewer", partial(visual_coding.write, session="A", more_timestamps=-1)),
    _CODING_B.odd("blanks wrapped", partial(visual_coding.write, session="B", blanks="wrapped")),
    _CODING_B.odd("whole static gratings", partial(visual_coding.write, session="B", whole_static_gratings=True)),
    _CODING_C.odd("no events", partial(visual_coding.write, session="C", events=False, demixed=False)),
    _CODING_C.odd("no epochs", partial(visual_coding.write, session="C", epochs=False)),
    _CODING_C.odd("no behaviour", partial(visual_coding.write, session="C", behaviour=False)),
    _CODING_C.odd("masks not swapped", partial(visual_coding.write, session="C", swapped_masks=False)),
    _BEHAVIOR,
    _BEHAVIOR_PLANES,
    _BEHAVIOR_ONLY,
    _BEHAVIOR.odd("omitted without stop", partial(visual_behavior.write, omitted_without_stop=True)),
    _BEHAVIOR.odd("one timestamp more", partial(visual_behavior.write, more_timestamps=1)),
    _BEHAVIOR.odd("one timestamp fewer", partial(visual_behavior.write, more_timestamps=-1)),
    _BEHAVIOR.odd(
        "no events, ratios, eyes and movie",
        partial(visual_behavior.write, events=False, ratios=False, eye_tracking=False, movie=False),
    ),
    _MICRONS,
    _MICRONS.odd("three fields", partial(microns.write, n_fields=3)),
    _MICRONS.odd("fields not in turn", partial(microns.write, in_turn=False)),
    _MICRONS.odd("one field, no electron microscopy", partial(microns.write, n_fields=1, coregistered=False)),
    _DENDRITES,
    _DENDRITES_TEMPLATES,
    _DENDRITES.odd(
        "one plane with its raw movie, no events", partial(openscope.write, n_planes=1, raw_movie=True, events=False)
    ),
    _OPENSCOPE_2026,
    _OPENSCOPE_2026.odd("five planes", _five_planes),
    _OPENSCOPE_2026.odd("no movie, no eyes", partial(openscope_2026.write, movie=False, eye_tracking=False)),
    _OPENSCOPE_2026.odd("failed fits as NaN", partial(openscope_2026.write, failed_fit=float("nan"))),
    _CREDIT_PLAIN,
    _CREDIT,
    _CREDIT_RAW,
    _CREDIT.odd(
        "a sample per row",
        partial(credit_assignment.write, asset="image", index_samples="rows"),
        granularity={**_CREDIT.granularity, "stimulus/presentation/g*": ("image", "none")},
    ),
    _CREDIT.odd("no frame columns", partial(credit_assignment.write, asset="image", frame_columns=False)),
    _CREDIT_PLAIN.odd("no frame columns", partial(credit_assignment.write, asset="plain", frame_columns=False)),
    _DIFFERENTIATION,
    _DIFFERENTIATION.odd("time first", partial(differentiation.write, transposed=False), orientation="time x cells"),
    _DIFFERENTIATION.odd("as many timestamps as samples", partial(differentiation.write, more_timestamps=0)),
    _DIFFERENTIATION.odd("three late refreshes", partial(differentiation.write, dropped_refreshes=3)),
    _TUNING,
    _TUNING.odd("epochs in seconds", partial(contrast_tuning.write, epochs_in="seconds")),
    _TUNING.odd(
        "cells first, no eyes",
        partial(contrast_tuning.write, transposed=True, eye_tracking=False),
        orientation="cells x time",
    ),
    _TUNING_49,
    _NEUROPIXELS,
    _NEUROPIXELS.odd("no coordinates", partial(visual_coding_neuropixels.write, coordinates="missing")),
    _NEUROPIXELS.odd(
        "no eyes, invalid times, extension and missing block",
        partial(
            visual_coding_neuropixels.write,
            eye_tracking=False,
            invalid_times=False,
            extension=False,
            missing_block=False,
        ),
    ),
    _ILLUSION,
    _ILLUSION.odd("no extension", partial(illusion.write, extension=False)),
    _V1,
    _V1.odd("no session id", partial(brain_observatory_v1.write, session_id=False)),
    _V1.odd("no experiment id", partial(brain_observatory_v1.write, experiment_id=False)),
    _V1.odd(
        "no id at all",
        partial(brain_observatory_v1.write, experiment_id=False, session_id=False),
        refused=("NWB-1.0.5", "000728"),
    ),
)
