"""A miVAE of a few thousand parameters, and clips of made-up animals to feed it: each test runs in milliseconds."""

from __future__ import annotations

from typing import Any

import torch

from nwb_mivae.clips.batch import ClipBatch, Episode
from nwb_mivae.model import MiVAEModule, ModelConfiguration, ModuleShape

HEIGHT, WIDTH = 12, 16
FRAMES = 8
FRAME_RATE = 30.0
AUXILIARY = 2


def seconds(*frames: int) -> tuple[float, ...]:
    """Frames as seconds, the unit of the model's lags."""
    return tuple(frame / FRAME_RATE for frame in frames)


def tiny_configuration(**changes: Any) -> ModelConfiguration:
    """Few latents, few channels; any setting can be changed by name."""
    settings: dict[str, Any] = {
        "stimulus_encoder": "convolutional",
        "shared_latents": 4,
        "neural_private_latents": 3,
        "stimulus_private_latents": 5,
        "stimulus_features": 6,
        "stimulus_channels": 4,
        "descriptor_size": 16,
        "population_size": 16,
        "hidden_size": 16,
        "coordinate_bands": 3,
        "fingerprint_lags": seconds(0, 2),
        "readout_offsets": seconds(0, 1, 3),
        "pooled_bins": 32,
    }
    return ModelConfiguration.from_mapping(settings | changes)


def tiny_module(*, trace_kind: str = "dff", seed: int = 0, **changes: Any) -> MiVAEModule:
    """An untrained module whose weights follow from ``seed``."""
    shape = ModuleShape(
        height=HEIGHT,
        width=WIDTH,
        n_auxiliary=AUXILIARY,
        trace_kind=trace_kind,
        frame_rate=FRAME_RATE,
        clip_frames=FRAMES,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MiVAEModule(tiny_configuration(**changes), shape)


def random_clips(
    clips: int = 6, cells: int = 5, *, seed: int = 0, counts: bool = False, first_content: int = 0
) -> ClipBatch:
    """Clips of random frames that share no content, and random activity; the third coordinate is unknown."""
    generator = torch.Generator().manual_seed(seed)
    neural = torch.randn(clips, FRAMES, cells, generator=generator)
    coordinates = torch.rand(cells, 3, generator=generator) * 500
    coordinates[:, 2] = torch.nan
    return ClipBatch(
        session=f"animal-{seed}",
        neural=neural.abs().round() if counts else neural,
        stimulus=torch.rand(clips, FRAMES, 1, HEIGHT, WIDTH, generator=generator),
        auxiliary=torch.randn(clips, FRAMES, AUXILIARY, generator=generator),
        coordinates=coordinates,
        content=first_content + torch.arange(clips * FRAMES).reshape(clips, FRAMES),
        start=torch.arange(clips) * FRAMES,
    )


def random_episode(
    clips: int = 6, cells: int = 5, *, context_clips: int = 10, seed: int = 0, counts: bool = False
) -> Episode:
    """Target clips and context clips of one made-up animal; no context where ``context_clips`` is 0."""
    both = random_clips(clips + context_clips, cells, seed=seed, counts=counts, first_content=seed * 10_000)
    return Episode(
        target=both.of_clips(torch.arange(clips)),
        context=both.of_clips(torch.arange(clips, clips + context_clips)) if context_clips else None,
    )
