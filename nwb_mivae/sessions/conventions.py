"""What real dandisets call things and how they differ: data, in ``conventions.yaml``, and the types it is read into.

A scientist extends it from outside: a YAML file with some of the same keys, named in ``sessions.conventions``, whose
entries come before the built-in ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from nwb_mivae.configuration import Configuration
from nwb_mivae.sessions.screen import Screen
from nwb_mivae.sessions.session import TraceKind

__all__ = [
    "MICROMETRES_IN",
    "PICTURE_FILE_SUFFIXES",
    "PIXEL_FILE_SUFFIXES",
    "RESULT_TYPES",
    "BoxColumns",
    "Conventions",
    "CountedTimes",
    "DrawnKind",
    "DrawnStimulus",
    "Layout",
    "ParameterKind",
    "ParameterName",
    "TraceWord",
    "UnitCriterion",
    "load_conventions",
    "plain",
    "specific_stem",
    "stimulus_stem",
]

#: Types that this package itself writes into annotated files; they are results, never recordings.
RESULT_TYPES = ("RoiAttributionSeries", "StimulusAttributionSeries", "LatentSeries", "PresentationLatents")

MICROMETRES_IN = {
    "meters": 1e6,
    "meter": 1e6,
    "metres": 1e6,
    "m": 1e6,
    "centimeters": 1e4,
    "cm": 1e4,
    "millimeters": 1e3,
    "millimetres": 1e3,
    "mm": 1e3,
    "micrometers": 1.0,
    "micrometres": 1.0,
    "micrometer": 1.0,
    "microns": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "nanometers": 1e-3,
    "nm": 1e-3,
}

#: Standard names of what is said of a drawn stimulus; units in :mod:`nwb_mivae.sessions.parameters`.
ParameterKind = Literal[
    "orientation", "spatial_frequency", "temporal_frequency", "phase", "contrast", "x_position", "y_position", "size",
    "colour", "mask", "units",
]  # fmt: skip
#: What can be drawn: a full-field grating, one grating in an aperture, several, uniform squares, a uniform screen.
DrawnKind = Literal["grating", "gabor", "gabors", "spot", "flash"]

#: Suffixes of files that hold one picture.
PICTURE_FILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
#: Suffixes of files that a stimulus may be stored in beside the NWB file.
PIXEL_FILE_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".gif",
    *PICTURE_FILE_SUFFIXES,
)  # fmt: skip


class TraceWord(Configuration):
    """A word in the plain name of a series or its container, what kind it means, and how good that is (0 best)."""

    word: str
    kind: TraceKind
    rank: int
    role: Literal["signal", "corrected", "neuropil"] = Field(
        "signal", description="whether neuropil was taken off already, or the series is the neuropil itself"
    )


class UnitCriterion(Configuration):
    """Columns of a units table that hold one criterion of quality: the first that is there counts."""

    criterion: Literal["labels", "isi_violations", "amplitude_cutoff", "presence_ratio", "signal_to_noise"]
    columns: tuple[str, ...] = Field(min_length=1)


class BoxColumns(Configuration):
    """Columns of a ROI table that tell the box around each mask, in pixels: its first column, first row, and size."""

    x: str
    y: str
    width: str
    height: str


class ParameterName(Configuration):
    """What a column of a stimulus table says of a grating, patch or flash; ``factor`` brings it to standard units."""

    column: str = Field(description="name of the column, exactly")
    name: ParameterKind
    factor: float = Field(1.0, description="standard units in one unit of the column")
    of_pair: Literal[0, 1] | None = Field(
        None, description="which number of each pair, where the column has pairs, such as positions `[[x, y], [x, y]]`"
    )


class DrawnStimulus(Configuration):
    """A word in the plain name of a stimulus, what is drawn for it, and what its files leave unsaid."""

    word: str
    kind: DrawnKind
    assumed: dict[str, float | str] = Field({}, description="parameters by standard name, where the file has none")


class Trap(Configuration):
    """A table or series that published files of a layout hold damaged, and how to tell."""

    object: str = Field(description="path inside the file, with `*` for any text")
    fewest_rows: int = Field(gt=0, description="with fewer rows than this it is damaged, and is left out")
    why: str = Field(description="what happened, with where that is written down")
    remedy: str = Field(description="what to use instead")


class CountedTimes(Configuration):
    """A table whose times are numbers of samples of a series, and not seconds."""

    object: str = Field(description="path of the table inside the file, with `*` for any text")
    series: str = Field(description="path of the series whose samples are counted")


class Layout(Configuration):
    """What is known of one dandiset's files beyond the names in them."""

    name: str = Field(description="what the findings call it, such as `000728 Visual Coding 2P`")
    dandisets: tuple[str, ...] = ()
    objects: tuple[str, ...] = Field(min_length=1, description="paths that must all be there, with `*` for any text")
    note: str | None = Field(None, description="what a reader of such files should know, in a sentence")
    micrometres_per_pixel: float | None = Field(None, gt=0, description="where the imaging plane does not say")
    traps: tuple[Trap, ...] = Field((), description="what such files are known to hold damaged")
    counted_times: tuple[CountedTimes, ...] = Field((), description="where times are numbers of samples, not seconds")
    screen: Screen | None = Field(None, description="the screen that stimuli without pixels are drawn for")
    assumed_parameters: dict[str, float | str] = Field(
        {}, description="parameters of drawn stimuli by standard name, where neither file nor stimulus word says"
    )
    mask_axes: Literal["x, y", "y, x"] | None = Field(
        None, description="order of the axes of image masks, where neither boxes nor pictures of the plane tell"
    )
    picture_axes: Literal["x, y", "y, x"] | None = Field(
        None, description="order of the axes of pictures of an imaging plane, by which masks are then checked"
    )
    electrode_unit: Literal["micrometers", "millimeters", "meters"] | None = Field(
        None, description="unit of the electrodes' coordinates, where it is not NWB's micrometres or not obvious"
    )


class Conventions(Configuration):
    """Names and layouts; the meaning of each key stands beside it in ``conventions.yaml``."""

    trace_words: tuple[TraceWord, ...] = ()
    valid_cell_columns: tuple[str, ...] = ()
    mask_type_columns: tuple[str, ...] = ()
    invalid_mask_types: tuple[str, ...] = ()
    depth_fields: tuple[str, ...] = ()
    location_patterns: tuple[str, ...] = ()
    box_columns: tuple[BoxColumns, ...] = ()
    unit_criteria: tuple[UnitCriterion, ...] = ()
    peak_channel_columns: tuple[str, ...] = ()
    area_columns: tuple[str, ...] = ()
    stimulus_columns: tuple[str, ...] = ()
    template_columns: tuple[str, ...] = ()
    image_name_columns: tuple[str, ...] = ()
    frame_columns: tuple[str, ...] = ()
    first_frame_columns: tuple[str, ...] = ()
    condition_columns: tuple[str, ...] = ()
    block_columns: tuple[str, ...] = ()
    blank_columns: tuple[str, ...] = ()
    omitted_columns: tuple[str, ...] = ()
    omitted_names: tuple[str, ...] = ()
    blank_codes: tuple[int, ...] = ()
    blank_names: tuple[str, ...] = ()
    no_stimulus_tables: tuple[str, ...] = ()
    session_movie_words: tuple[str, ...] = ()
    generic_words: tuple[str, ...] = ()
    running_names: tuple[str, ...] = ()
    pupil_names: tuple[str, ...] = ()
    pupil_columns: tuple[str, ...] = ()
    time_columns: tuple[str, ...] = ()
    blink_names: tuple[str, ...] = ()
    session_id_fields: tuple[str, ...] = ()
    plane_id_fields: tuple[str, ...] = ()
    session_name_patterns: tuple[str, ...] = ()
    parameter_names: tuple[ParameterName, ...] = ()
    drawn_stimuli: tuple[DrawnStimulus, ...] = ()
    layouts: tuple[Layout, ...] = ()

    def before(self, other: Conventions) -> Conventions:
        """Both together, the entries of this one first."""
        return Conventions(**{name: (*getattr(self, name), *getattr(other, name)) for name in type(self).model_fields})

    def layout_of(self, object_paths: Iterable[str]) -> Layout | None:
        """The first layout whose objects are all among these paths."""
        listed = "\n".join(object_paths)
        for layout in self.layouts:
            patterns = (re.escape(path).replace(r"\*", "[^\n]*") for path in layout.objects)
            if all(re.search(f"^{pattern}$", listed, re.MULTILINE) for pattern in patterns):
                return layout
        return None


def load_conventions(path: str | Path | None = None) -> Conventions:
    """The built-in conventions, with those of a YAML file before them where one is given.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or has a key or value that conventions do not have.
    """
    return _built_in() if path is None else Conventions.from_yaml(path).before(_built_in())


@lru_cache(maxsize=1)
def _built_in() -> Conventions:
    text = resources.files("nwb_mivae.sessions").joinpath("conventions.yaml").read_text(encoding="utf-8")
    return Conventions.from_mapping(yaml.safe_load(text), file="conventions.yaml")


def plain(name: str) -> str:
    """A name in lower case with nothing but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def without_suffix(name: str) -> str:
    """What a stimulus is called once table, template and file suffixes are taken away, otherwise as it is written."""
    stem = name
    for suffix in PIXEL_FILE_SUFFIXES:
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
    stem = re.sub(r"[_ -]*(presentations?|stimulus|templates?|image_stack|images)$", "", stem, flags=re.IGNORECASE)
    return stem or name


def stimulus_stem(name: str) -> str:
    """:func:`without_suffix` in a form to compare: lower case, letters and digits, digits kept apart.

    ``natural_movie_one_presentations``, ``natural_movie_one_stimulus`` and ``natural_movie_one.mp4`` are one thing;
    ``clip1_0`` and ``clip10`` are two.
    """
    apart = re.sub(r"(?<=[0-9])[^a-z0-9]+(?=[0-9])", "~", without_suffix(name).lower())
    return re.sub(r"[^a-z0-9~]", "", apart)


def specific_stem(name: str, generic_words: Iterable[str]) -> str:
    """:func:`stimulus_stem` without words that many names have, empty where there are no others.

    Words are told apart by what is neither letter nor digit: of ``movie_flower_fwd`` without ``movie`` remains what
    ``flower_fwd`` is, of ``movieflower`` all.
    """
    words = re.split(r"[^a-z0-9]+", without_suffix(name).lower())
    kept = "_".join(word for word in words if word not in generic_words)
    return stimulus_stem(kept) if re.search("[a-z]", kept) else ""
