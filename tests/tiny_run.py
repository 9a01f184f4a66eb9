"""A store of three made-up animals and the settings to train a tiny miVAE on it in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, Split, SplitConfiguration, make_split
from nwb_mivae.training import TrainingConfiguration
from tests.clip_stores import make_store
from tests.tiny_model import FRAMES, HEIGHT, WIDTH

#: The animal that is held out, and its session.
HELD_OUT_SUBJECT, HELD_OUT = "mouse-2", "session-2"


def tiny_store(folder: Path, **changes: Any) -> ClipStore:
    """Three sessions of 6, 8 and 5 cells, each showing the same ten movies of 24 frames in its own order."""
    settings: dict[str, Any] = {
        "sessions": 3,
        "cells": (6, 8, 5),
        "seconds": 8.0,
        "height": HEIGHT,
        "width": WIDTH,
        "movie_frames": 24,
    }
    return make_store(folder, **(settings | changes))


def tiny_split(store: ClipStore, **changes: Any) -> Split:
    """One animal and a share of the content held out."""
    settings: dict[str, Any] = {"held_out": [HELD_OUT_SUBJECT]}
    return make_split(store, SplitConfiguration.from_mapping(settings | changes))


def tiny_episodes(**changes: Any) -> EpisodeConfiguration:
    """Short clips, few of them."""
    settings: dict[str, Any] = {"clip_frames": FRAMES, "clips_per_session": 4, "context_clips": 8}
    return EpisodeConfiguration.from_mapping(settings | changes)


def tiny_training(**changes: Any) -> TrainingConfiguration:
    """Six steps on the CPU, checkpoint after every second."""
    settings: dict[str, Any] = {
        "steps": 6,
        "warmup_steps": 2,
        "accelerator": "cpu",
        "log_every": 1,
        "validate_every": 3,
        "validation_clips": 4,
        "checkpoint_every": 2,
    }
    return TrainingConfiguration.from_mapping(settings | changes)
