"""Stimulus encoder: frames to the posteriors of the stimulus latents and to features that fingerprints are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.layers import TemporalMixing

__all__ = ["StimulusEncoder", "StimulusPosterior"]


@dataclass(frozen=True)
class StimulusPosterior:
    """What a clip's frames say: ``shared`` (B, T, K), ``private`` (B, T, J) and ``features`` (B, T, F)."""

    shared: Gaussian
    private: Gaussian
    features: Tensor


class StimulusEncoder(nn.Module):
    """Spatial convolutions per frame, a temporal one per place (2+1-D), then mixing along time and heads.

    The place of things in the picture is kept until the last linear layer, because receptive fields have places.
    Features are normalised per frame, so that context read-outs of different animals live on one scale.
    """

    def __init__(self, configuration: ModelConfiguration, height: int, width: int) -> None:
        super().__init__()
        channels = configuration.stimulus_channels
        self.height, self.width = height, width
        self.stem = nn.Conv2d(1, channels, 7, stride=4, padding=3)
        self.motion = nn.Conv1d(channels, 2 * channels, 5, padding=2)
        self.shape = nn.Conv2d(2 * channels, 2 * channels, 3, stride=2, padding=1)
        rows, columns = (-(-size // 4) for size in (height, width))
        places = -(-rows // 2) * -(-columns // 2)
        hidden = configuration.hidden_size
        self.gather = nn.Linear(2 * channels * places, hidden)
        self.trunk = TemporalMixing(hidden, hidden, hidden)
        self.features = nn.Sequential(
            nn.Linear(hidden, configuration.stimulus_features),
            nn.LayerNorm(configuration.stimulus_features, elementwise_affine=False),
        )
        self.shared = nn.Linear(hidden + configuration.stimulus_features, 2 * configuration.shared_latents)
        self.private = nn.Linear(hidden, 2 * configuration.stimulus_private_latents)

    def _trunk(self, stimulus: Tensor) -> Tensor:
        clips, frames = stimulus.shape[:2]
        x = stimulus.flatten(0, 1) * 2.0 - 1.0
        x = nn.functional.gelu(self.stem(x))
        channels, rows, columns = x.shape[1:]
        x = x.reshape(clips, frames, channels, rows * columns).permute(0, 3, 2, 1)
        x = nn.functional.gelu(self.motion(x.reshape(-1, channels, frames)))
        x = x.reshape(clips, rows * columns, 2 * channels, frames).permute(0, 3, 2, 1)
        x = nn.functional.gelu(self.shape(x.reshape(-1, 2 * channels, rows, columns)))
        x = nn.functional.gelu(self.gather(x.reshape(clips, frames, -1)))
        return self.trunk(x)  # type: ignore[no-any-return]

    def stimulus_features(self, stimulus: Tensor) -> Tensor:
        """``(B, T, 1, H, W)`` in [0, 1] to features ``(B, T, F)`` of zero mean and unit variance per frame."""
        return self.features(self._trunk(stimulus)).float()  # type: ignore[no-any-return]

    def forward(self, stimulus: Tensor) -> StimulusPosterior:
        trunk = self._trunk(stimulus)
        features = self.features(trunk)
        return StimulusPosterior(
            shared=Gaussian.from_parameters(self.shared(torch.cat([trunk, features], dim=-1))),
            private=Gaussian.from_parameters(self.private(trunk)),
            features=features.float(),
        )
