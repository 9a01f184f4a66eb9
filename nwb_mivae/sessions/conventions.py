"""What real dandisets call things: names as data, so that a new dandiset is a new entry and not a new branch.

Names are compared in their plain form (:func:`plain`): lower case, letters and digits only. Where each entry was seen
is said beside it by dandiset number.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nwb_mivae.sessions.session import TraceKind

__all__ = [
    "AREA_COLUMNS",
    "BLANK_CODES",
    "BLANK_COLUMNS",
    "BLANK_NAMES",
    "BLOCK_COLUMNS",
    "DEPTH_FIELDS",
    "FRAME_COLUMNS",
    "IMAGE_NAME_COLUMNS",
    "INVALID_MASK_TYPES",
    "MASK_TYPE_COLUMN",
    "MICROMETRES_IN",
    "NO_STIMULUS_TABLES",
    "PIXEL_FILE_SUFFIXES",
    "PUPIL_NAMES",
    "RESULT_TYPES",
    "RUNNING_NAMES",
    "SESSION_MOVIE_WORDS",
    "TEMPLATE_COLUMNS",
    "TRACE_WORDS",
    "VALID_CELL_COLUMNS",
    "TraceWord",
    "plain",
    "stimulus_stem",
]


def plain(name: str) -> str:
    """A name in lower case with nothing but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


class TraceWord(NamedTuple):
    """A word in the name of a series or its container, what kind it means, and how good that is (0 best)."""

    word: str
    kind: TraceKind
    rank: int


#: First match decides, on the series' own name before its containers' names.
TRACE_WORDS: tuple[TraceWord, ...] = (
    TraceWord("event", "events", 2),  # 000728 DfOverFEvents, 000711 event_detection, 000039 l0_events
    TraceWord("deconv", "deconvolved", 1),  # roiextractors, suite2p through neuroconv
    TraceWord("spks", "deconvolved", 1),  # suite2p
    TraceWord("spikerate", "deconvolved", 1),
    TraceWord("dfoverf", "dff", 0),  # 000728, 000037, 000036; 000039 inside a Fluorescence container
    TraceWord("dff", "dff", 0),  # 000711, 001768
    TraceWord("deltaf", "dff", 0),
    TraceWord("corrected", "fluorescence", 3),  # 000728 Corrected, 000711 corrected_fluorescence
    TraceWord("demixed", "fluorescence", 4),  # 000728, 000711
    TraceWord("neuropil", "fluorescence", 6),  # background, the last resort
    TraceWord("fneu", "fluorescence", 6),  # suite2p
    TraceWord("background", "fluorescence", 6),
    TraceWord("fluorescence", "fluorescence", 5),
)

#: Types that this package itself writes into annotated files; they are results, never recordings.
RESULT_TYPES = ("RoiAttributionSeries", "StimulusAttributionSeries", "LatentSeries", "PresentationLatents")

#: Boolean (or 0/1, or suite2p's flag and probability) columns of a ROI table that say whether a row is a cell.
VALID_CELL_COLUMNS = ("valid_roi", "iscell", "is_cell", "Accepted", "accepted")
#: 000402 says what a mask is instead.
MASK_TYPE_COLUMN = "mask_type"
INVALID_MASK_TYPES = ("artifact", "noise")

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

#: Fields of lab metadata that hold the imaging depth in micrometres (000711).
DEPTH_FIELDS = ("imaging_depth",)

#: Columns of the units table that name the brain area, before the electrodes are asked.
AREA_COLUMNS = ("structure_acronym", "ecephys_structure_acronym", "brain_area", "location", "area")

#: Columns that name what was shown: a movie, a set of images, a file.
TEMPLATE_COLUMNS = (
    "stimulus_template_name",  # 000037
    "movie_name",  # 000402
    "stimulus_name",  # 000021, 000711, 000336
    "stim_name",  # 001768
    "Clip_name",  # 000207
    "clip_name",
    "template_name",
    "template",
)
#: Columns that name one image of a set.
IMAGE_NAME_COLUMNS = ("image_name", "frameName", "image")  # 000711, 000207
#: Columns that count frames in what was shown.
FRAME_COLUMNS = (
    "movie_frame_index",  # 000711
    "frame",  # 000021, 000248, 000336
    "frame_index",
    "stim_frame",
    "image_index",  # 000711, where names do not decide
)
BLOCK_COLUMNS = ("stimulus_block", "stim_block", "block")
#: Columns that are true where only a grey screen was shown.
BLANK_COLUMNS = ("is_blank_sweep", "is_blank", "blank", "omitted")
#: What a frame number is where only a grey screen was shown; the second is -1 stored as uint32.
BLANK_CODES = (-1, 4294967295)
#: Plain names of showings that are a grey screen.
BLANK_NAMES = ("spontaneous", "spontaneousactivity", "gray", "grey", "grayscreen", "greyscreen", "blank", "omitted")

#: Tables that describe the experiment's course, whatever columns they have, unless they name frames.
NO_STIMULUS_TABLES = ("epochs", "invalid_times")

#: Suffixes of files that a stimulus may be stored in beside the NWB file.
PIXEL_FILE_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".gif",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp",
)  # fmt: skip

#: An ImageSeries in `acquisition` with one of these in its plain name is the whole session's screen (000402), and
#: not a camera.
SESSION_MOVIE_WORDS = ("stimulus", "stimulusmovie")

#: Plain names of running speed, best first.
RUNNING_NAMES = (
    "runningspeed",  # 000728, 000021
    "runningvelocity",  # 000037, 000036
    "speed",  # 000711 processing/running/speed
    "treadmillvelocity",  # 000402
    "running",
    "locomotion",
    "wheelvelocity",
    "wheelspeed",
)
#: Plain names of pupil size, best first.
PUPIL_NAMES = (
    "pupilsize",  # 000728
    "pupildiameter",  # 000037
    "pupilarea",  # 000021
    "pupilradius",
    "pupiltracking",  # 000711: an ellipse with its area
    "pupil",
)


def stimulus_stem(name: str) -> str:
    """What a stimulus is called once table, template and file suffixes are taken away, in plain form.

    ``natural_movie_one_presentations``, ``natural_movie_one_stimulus`` and ``natural_movie_one.mp4`` are one thing.
    """
    stem = name.lower()
    for suffix in PIXEL_FILE_SUFFIXES:
        stem = stem.removesuffix(suffix)
    stem = re.sub(r"[_ -]*(presentations?|stimulus|templates?|image_stack|images)$", "", stem)
    return plain(stem)
