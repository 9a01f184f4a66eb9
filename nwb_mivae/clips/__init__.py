"""Aligned sessions -> a memory-mapped store -> splits by stimulus content and by animal -> clips and episodes."""

from nwb_mivae.clips.batch import ClipBatch, Episode
from nwb_mivae.clips.configuration import ClipsConfiguration, EpisodeConfiguration, SplitConfiguration
from nwb_mivae.clips.prepare import prepare
from nwb_mivae.clips.sampler import EpisodeSampler, first_clips, load_clips
from nwb_mivae.clips.spacing import evenly
from nwb_mivae.clips.split import PARTS, CellStatistics, DistinctClips, Part, Split, make_split
from nwb_mivae.clips.store import ClipStore, StoredSession

__all__ = [
    "PARTS",
    "CellStatistics",
    "ClipBatch",
    "ClipStore",
    "ClipsConfiguration",
    "DistinctClips",
    "Episode",
    "EpisodeConfiguration",
    "EpisodeSampler",
    "Part",
    "Split",
    "SplitConfiguration",
    "StoredSession",
    "evenly",
    "first_clips",
    "load_clips",
    "make_split",
    "prepare",
]
