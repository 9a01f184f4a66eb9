"""Settings of the model: sizes, the population encoder's design, and the weight of every term of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from nwb_mivae.configuration import Configuration

__all__ = ["LossWeights", "ModelConfiguration", "Population", "StimulusDesign"]

Population = Literal["contextual", "coordinates", "pooled"]
StimulusDesign = Literal["convolutional", "front_end"]


class LossWeights(Configuration):
    """Weight of each term of the loss (design, section 4); every term is a mean per element or per latent.

    A weight of 0 leaves its term out of the sum; it is still computed and logged.
    """

    neural_reconstruction: float = Field(1.0, ge=0)
    stimulus_reconstruction: float = Field(1.0, ge=0)
    neural_from_stimulus: float = Field(1.0, ge=0)
    stimulus_from_neural: float = Field(1.0, ge=0)
    fused_from_neural: float = Field(0.01, ge=0)
    fused_from_stimulus: float = Field(0.01, ge=0)
    shared_symmetric: float = Field(0.02, ge=0)
    neural_private: float = Field(0.01, ge=0)
    stimulus_private: float = Field(0.01, ge=0)
    matching: float = Field(1.0, ge=0)
    cross_covariance: float = Field(0.1, ge=0)

    @model_validator(mode="after")
    def _something_to_learn(self) -> LossWeights:
        if not any(self.model_dump().values()):
            raise ValueError("every weight is 0, so there is nothing to learn")
        return self


class ModelConfiguration(Configuration):
    """Sizes and design of miVAE; the defaults suit recordings of twenty to eight thousand cells at 36 x 64 pixels.

    Attributes
    ----------
    population
        Design of the population encoder: ``contextual`` (descriptors from coordinates and a functional fingerprint,
        with the in-context ridge read-out), ``coordinates`` (descriptors from coordinates alone) or ``pooled`` (the
        published design, which depends on the order of neurons in the file).
    stimulus_encoder
        Design of the stimulus encoder: ``front_end`` (a fixed bank of model V1 cells, summed up on what the cells of
        the training animals carry of it, and what is learned from there on; the latents begin as the leading features
        and what the read-outs say of them) or ``convolutional`` (learned from pixels on).
    shared_latents, neural_private_latents, stimulus_private_latents
        Latents per frame: K of ``z_xc`` and ``z_yc``, M of ``z_xm``, J of ``z_ym``.
    stimulus_features
        F, size of the features ``f(y)`` that fingerprints and the ridge read-out are made of; at least 2, because the
        convolutional design normalises features per frame and a single one would always be 0.
    fingerprint_lags
        Seconds by which activity is compared with earlier stimulus features, on top of the lag that alignment already
        took out; they should cover the indicator's decay.
    readout_offsets
        Seconds, relative to the aligned sample of each frame, at which the ridge read-out looks at activity.
    readout_penalty
        Penalty that the ridge read-out begins with, as a multiple of the variance of all its inputs together (cells
        times offsets); it is learned. So it means the same for few cells and many, for counts and for standardised
        activity.
    readout_frames
        Largest number of context frames for the ridge in its dual form, used where cells times offsets exceed
        ``readout_primal_size``; beyond it, frames are taken evenly.
    """

    retired: ClassVar[Mapping[str, str]] = {
        "readout_ridge": "set readout_penalty instead, or leave both out: it is in units of the variance of all cells' "
        "activity now, and the default, 1.0, suits most recordings"
    }

    population: Population = "contextual"
    stimulus_encoder: StimulusDesign = "front_end"
    shared_latents: PositiveInt = 32
    neural_private_latents: PositiveInt = 8
    stimulus_private_latents: PositiveInt = 16
    stimulus_features: int = Field(64, ge=2)
    stimulus_channels: PositiveInt = 16
    descriptor_size: PositiveInt = 64
    population_size: PositiveInt = 64
    hidden_size: PositiveInt = 96
    coordinate_bands: PositiveInt = 6
    coordinate_scale: PositiveFloat = Field(1000.0, description="micrometres that one turn of the slowest band spans")
    fingerprint_lags: tuple[NonNegativeFloat, ...] = Field((0.0, 0.133, 0.267), min_length=1)
    fingerprint_ridge: PositiveFloat = 0.1
    readout_offsets: tuple[float, ...] = Field((-0.133, 0.0, 0.133), min_length=1)
    readout_penalty: PositiveFloat = Field(1.0, description="of the ridge, in units of its inputs' total variance")
    readout_primal_size: PositiveInt = 4000
    readout_frames: PositiveInt = 4096
    pooled_bins: PositiveInt = 256
    loss: LossWeights = LossWeights()
