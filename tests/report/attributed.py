"""A made-up session with everything that attribution gives, as the files a report is written from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from nwb_mivae.attribution import (
    CONTRIBUTIONS,
    MethodAttribution,
    SessionAttribution,
    SessionStimulusRegions,
    SessionSubpopulations,
)
from nwb_mivae.attribution.stimulus_statistics import STATISTICS
from nwb_mivae.run import Run

KEY = "sub-1"
CLIPS, FRAMES, HEIGHT, WIDTH, LATENTS = 6, 8, 6, 10, 3
S = len(STATISTICS)


@dataclass(frozen=True)
class Attributed:
    """What ``attribution_section`` takes: a run's folder, a store and a split."""

    run: Run
    store: Any
    split: Any


def attributed(
    folder: Path,
    *,
    cells: int = 60,
    groups: int = 2,
    none: int = 0,
    placed: bool = True,
    methods: tuple[str, ...] = ("score", "fisher"),
    to: tuple[str, ...] = ("neurons", "pixels"),
    of: str = "shared",
    regions: bool = True,
) -> Attributed:
    """Write a session's attribution, subpopulations and regions; the last ``none`` cells belong to no group."""
    random = np.random.default_rng(0)
    run = Run.at(folder)
    total = CLIPS * FRAMES
    attribution(random, total, cells, methods, to, of).save(run.attribution / f"{KEY}.npz")
    if "neurons" in to:
        subpopulations(random, cells, groups, none).save(run.subpopulations / f"{KEY}.npz")
    if regions:
        stimulus_regions(random).save(run.regions / f"{KEY}.npz")
    coordinates = random.uniform(0, 500, (cells, 3)) if placed else np.full((cells, 3), np.nan)
    stored = SimpleNamespace(
        subject="mouse-1",
        n_cells=cells,
        stimulus_row=np.arange(total),
        content=np.arange(total),
        coordinates=coordinates,
        cells=pd.DataFrame(
            {"source_row": 100 + np.arange(cells), "source_path": "/processing/rois", "source_file": "a.nwb"}
        ),
    )
    store = SimpleNamespace(
        sessions={KEY: stored},
        stimulus=random.integers(0, 256, (total, HEIGHT, WIDTH), dtype=np.uint8),
        frame_rate=30.0,
    )
    return Attributed(run, store, SimpleNamespace(held_out_sessions=[KEY], train_sessions=[]))


def attribution(
    random: np.random.Generator, total: int, cells: int, methods: tuple[str, ...], to: tuple[str, ...], of: str
) -> SessionAttribution:
    """Random magnitudes, signed for ``score``; evidence has one sign for each cell, against in every third."""

    def maps(method: str) -> MethodAttribution:
        sign = random.choice([-1, 1], (total, 1)) if method == "score" else np.ones((total, 1))
        neurons = cells if "neurons" in to else 0
        height, width = (HEIGHT, WIDTH) if "pixels" in to else (0, 0)
        evidence = method in CONTRIBUTIONS and of == "shared"
        speaks = np.where(np.arange(neurons) % 3 == 0, -1, 1) if evidence else np.ones(neurons)
        return MethodAttribution(
            neurons=(sign * speaks * random.random((total, neurons))).astype(np.float32),
            neurons_per_latent=random.random((LATENTS, neurons)).astype(np.float32),
            pixels=(sign[..., None] * random.random((total, height, width))).astype(np.float32),
            pixels_per_latent=random.random((LATENTS, height, width)).astype(np.float32),
            signed=method == "score" or evidence,
        )

    frames = np.arange(total)
    return SessionAttribution(
        session=KEY,
        methods={method: maps(method) for method in methods},
        time=frames / 30,
        stop_time=(frames + 1) / 30,
        row=frames,
        presentation=frames,
        clip=frames // FRAMES,
        settings={
            "configuration": {"of": of, "part": "test"},
            "clips_available": 20,
            "context_frames": 100,
            "fisher_relative_standard_error": dict.fromkeys(to, 0.04) if "fisher" in methods else None,
        },
    )


def subpopulations(random: np.random.Generator, cells: int, groups: int, none: int) -> SessionSubpopulations:
    """Cells in turn of every group."""
    number = np.arange(cells) % max(groups, 1)
    number[cells - none :] = -1
    return SessionSubpopulations(
        session=KEY,
        method="k-means",
        attribution_method="fisher",
        subpopulation=number.astype(np.int32),
        confidence=np.zeros(cells, dtype=np.float32),
        profile=random.random((groups, FRAMES)).astype(np.float32),
        profile_time=np.arange(FRAMES) / 30,
        statistics={
            "stability": ("how often it comes again", np.full(groups, 0.75)),
            "mean_z": ("mean z of its cells", np.full(groups, np.nan)),
        },
        settings={"finding": "What was found <of cells>."},
    )


def stimulus_regions(random: np.random.Generator) -> SessionStimulusRegions:
    """A finding for edge strength, nothing else."""
    effect = np.full((2, S, 2), 0.01)
    corrected = np.ones((2, S, 2))
    effect[0, 1], corrected[0, 1] = 0.3, 0.01
    return SessionStimulusRegions(
        session=KEY,
        attribution_method="fisher",
        clip=np.arange(CLIPS),
        correlation=effect[..., 0] + 0.02,
        effect=effect,
        interval=effect[..., None] + [-0.1, 0.1],
        p_value=corrected / 20,
        p_corrected=corrected,
        smallest_p=np.full((2, S, 2), 1e-4),
        null_effect=np.tile(np.linspace(-0.2, 0.2, 101), (2, S, 2, 1)),
        effect_by_clip=random.random((2, S, 2, CLIPS)),
        latent_map=random.random((LATENTS, HEIGHT, WIDTH)).astype(np.float32),
        latent_centre=random.random((LATENTS, 2)),
        latent_extent=random.random(LATENTS),
        latent_concentration=np.array([0.2, 0.4, np.nan]),
        settings={"configuration": {"confidence": 0.95}},
    )
