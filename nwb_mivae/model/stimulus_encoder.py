"""Stimulus encoder: frames to the posteriors of the stimulus latents and to features that fingerprints are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.layers import TemporalMixing
from nwb_mivae.model.visual_front_end import VisualFrontEnd

__all__ = [
    "ConvolutionalStimulusEncoder",
    "FrontEndStimulusEncoder",
    "StimulusEncoder",
    "StimulusPosterior",
    "make_stimulus_encoder",
]


@dataclass(frozen=True)
class StimulusPosterior:
    """What a clip's frames say: ``shared`` (B, T, K), ``private`` (B, T, J) and ``features`` (B, T, F)."""

    shared: Gaussian
    private: Gaussian
    features: Tensor


class StimulusEncoder(nn.Module, ABC):
    """Interface of the designs: features of each frame, and posteriors of the stimulus latents."""

    @abstractmethod
    def stimulus_features(self, stimulus: Tensor) -> Tensor:
        """``(B, T, 1, H, W)`` in [0, 1] to features ``(B, T, F)``."""

    @abstractmethod
    def forward(self, stimulus: Tensor) -> StimulusPosterior:
        """``(B, T, 1, H, W)`` in [0, 1] to the posteriors and the features."""


class ConvolutionalStimulusEncoder(StimulusEncoder):
    """Convolutions over space and neighbouring frames, one along time per place (2+1-D), then mixing and heads.

    The first convolution sees each frame with the ones before and after it, so motion at full resolution is cheap: the
    convolution along time runs on the coarse map. The place of things in the picture is kept until the last linear
    layer, because receptive fields have places. Features are normalised per frame, so that context read-outs of
    different animals live on one scale.
    """

    def __init__(self, configuration: ModelConfiguration, height: int, width: int) -> None:
        super().__init__()
        channels = configuration.stimulus_channels
        hidden = configuration.hidden_size
        self.height, self.width = height, width
        self.edges = nn.Conv2d(3, channels, 7, stride=4, padding=3)
        self.shapes = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.motion = nn.Conv2d(2 * channels, 2 * channels, (5, 1), padding=(2, 0))
        places = ceil(ceil(height / 4) / 2) * ceil(ceil(width / 4) / 2)
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
        centred = stimulus * 2.0 - 1.0
        before = torch.cat([centred[:, :1], centred[:, :-1]], dim=1)
        after = torch.cat([centred[:, 1:], centred[:, -1:]], dim=1)
        x = torch.cat([before, centred, after], dim=2).flatten(0, 1)
        x = gelu(self.shapes(gelu(self.edges(x))))
        x = x.reshape(clips, frames, x.shape[1], -1).transpose(1, 2)
        x = gelu(self.motion(x)).transpose(1, 2).flatten(2)
        return self.trunk(gelu(self.gather(x)))  # type: ignore[no-any-return]

    def stimulus_features(self, stimulus: Tensor) -> Tensor:
        """Features of zero mean and unit variance per frame."""
        return self.features(self._trunk(stimulus)).float()  # type: ignore[no-any-return]

    def forward(self, stimulus: Tensor) -> StimulusPosterior:
        trunk = self._trunk(stimulus)
        features = self.features(trunk)
        return StimulusPosterior(
            shared=Gaussian.from_parameters(self.shared(torch.cat([trunk, features], dim=-1))),
            private=Gaussian.from_parameters(self.private(trunk)),
            features=features.float(),
        )


class FrontEndStimulusEncoder(StimulusEncoder):
    """A fixed visual front end, then mixing along time and heads, which are learned.

    The features that context is made of are the front end's own: they stay what they are while the model learns, so
    that an animal's closed form is the same at the first step as at the last and no training animal can bend them.
    """

    def __init__(self, configuration: ModelConfiguration, height: int, width: int, frame_rate: float) -> None:
        super().__init__()
        features, hidden = configuration.stimulus_features, configuration.hidden_size
        self.front_end = VisualFrontEnd(height, width, features, frame_rate)
        self.trunk = TemporalMixing(features, hidden, hidden)
        self.shared = nn.Linear(hidden + features, 2 * configuration.shared_latents)
        self.private = nn.Linear(hidden + features, 2 * configuration.stimulus_private_latents)

    def stimulus_features(self, stimulus: Tensor) -> Tensor:
        """Features of each frame in its clip; over those of the basis they have mean 0 and, together, variance F."""
        return self.front_end(stimulus)  # type: ignore[no-any-return]

    def forward(self, stimulus: Tensor) -> StimulusPosterior:
        return self.posterior(self.stimulus_features(stimulus))

    def posterior(self, features: Tensor) -> StimulusPosterior:
        """What features ``(B, T, F)`` say: all that is learned."""
        encoded = torch.cat([self.trunk(features), features], dim=-1)
        return StimulusPosterior(
            shared=Gaussian.from_parameters(self.shared(encoded)),
            private=Gaussian.from_parameters(self.private(encoded)),
            features=features,
        )


def make_stimulus_encoder(
    configuration: ModelConfiguration, height: int, width: int, frame_rate: float
) -> StimulusEncoder:
    """The stimulus encoder that ``configuration.stimulus_encoder`` names; ``frame_rate`` is that of clips, in Hz."""
    if configuration.stimulus_encoder == "front_end":
        return FrontEndStimulusEncoder(configuration, height, width, frame_rate)
    return ConvolutionalStimulusEncoder(configuration, height, width)
