"""miVAE itself: two encoders, two decoders, conditional priors and the whole objective (design, sections 2 to 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nwb_mivae.errors import ModelError
from nwb_mivae.model.configuration import ModelConfiguration
from nwb_mivae.model.context import Context, ContextBuilder, ContextTiming
from nwb_mivae.model.decoders import NeuralDecoder, StimulusDecoder
from nwb_mivae.model.gaussian import Gaussian
from nwb_mivae.model.layers import begin_with_features
from nwb_mivae.model.likelihoods import LIKELIHOOD_OF_KIND, expected_activity, negative_log_likelihood
from nwb_mivae.model.objective import LossTerms, cross_covariance, matching_loss
from nwb_mivae.model.population import ContextualPopulation, make_population
from nwb_mivae.model.priors import PrivatePrior
from nwb_mivae.model.stimulus_encoder import FrontEndStimulusEncoder, StimulusPosterior, make_stimulus_encoder

if TYPE_CHECKING:
    from nwb_mivae.clips.batch import Episode
    from nwb_mivae.model.cortical_map import CorticalMap
    from nwb_mivae.model.visual_front_end import VisualFrontEnd

__all__ = ["MiVAEModule", "ModuleShape", "NeuralPosterior"]


@dataclass(frozen=True)
class NeuralPosterior:
    """What a clip's activity says: ``shared`` (B, T, K) and ``private`` (B, T, M), the latter with its prior in it."""

    shared: Gaussian
    private: Gaussian


@dataclass(frozen=True)
class ModuleShape:
    """What of the data the module was built for, and is needed to build it again."""

    height: int
    width: int
    n_auxiliary: int
    trace_kind: str
    #: Frames per second of the clips; a frame-based lag means another time at another rate.
    frame_rate: float
    #: Frames per clip that the module was trained on, and that inference uses.
    clip_frames: int

    def as_dict(self) -> dict[str, Any]:
        return {
            "height": self.height,
            "width": self.width,
            "n_auxiliary": self.n_auxiliary,
            "trace_kind": self.trace_kind,
            "frame_rate": self.frame_rate,
            "clip_frames": self.clip_frames,
        }


class MiVAEModule(nn.Module):
    """The multi-modal identifiable variational autoencoder.

    Parameters
    ----------
    configuration : ModelConfiguration
        Sizes, design of the population encoder, weights of the loss.
    shape : ModuleShape
        Frame size, number of auxiliary variables, kind of trace (which picks the likelihood).

    Notes
    -----
    No parameter belongs to an animal. All latents are per frame; see :class:`~nwb_mivae.clips.batch.ClipBatch` for
    the shapes of what goes in.
    """

    def __init__(self, configuration: ModelConfiguration, shape: ModuleShape) -> None:
        super().__init__()
        if shape.trace_kind not in LIKELIHOOD_OF_KIND:
            raise ModelError(
                f"traces of kind {shape.trace_kind!r}",
                expected=f"one of {', '.join(sorted(LIKELIHOOD_OF_KIND))}",
                remedy="prepare the sessions again with a trace of a known kind",
            )
        self.configuration = configuration
        self.shape = shape
        self.likelihood = LIKELIHOOD_OF_KIND[shape.trace_kind]
        self.stimulus_encoder = make_stimulus_encoder(configuration, shape.height, shape.width, shape.frame_rate)
        timing = ContextTiming.of(configuration, shape.frame_rate)
        self._readout_offsets = timing.offsets
        self.population = make_population(configuration, timing, shape.frame_rate)
        self.neural_shared = nn.Linear(self.population.size, 2 * configuration.shared_latents)
        self.neural_private = nn.Linear(self.population.size, 2 * configuration.neural_private_latents)
        self.context_builder = ContextBuilder(configuration, timing)
        self.prior = PrivatePrior(configuration, shape.n_auxiliary)
        self.neural_decoder = NeuralDecoder(configuration, self.likelihood)
        self.stimulus_decoder = StimulusDecoder(configuration, shape.height, shape.width)
        self.log_matching_scale = nn.Parameter(torch.tensor(5.0).log())

    @property
    def front_end(self) -> VisualFrontEnd | None:
        """The part of the stimulus encoder that is fixed, where its design has one."""
        encoder = self.stimulus_encoder
        return encoder.front_end if isinstance(encoder, FrontEndStimulusEncoder) else None

    @property
    def cortical_map(self) -> CorticalMap | None:
        """What reads activity by the place of cells where there is no context, for designs that have a context."""
        return self.population.cortical_map if isinstance(self.population, ContextualPopulation) else None

    def begin_with_closed_form(self) -> None:
        """Let the shared latents begin as the front end's features and, from activity, as what is read out of it.

        Does nothing where the stimulus encoder has no front end; weights drawn at random stay as they are then.
        """
        encoder, n_features = self.stimulus_encoder, self.configuration.stimulus_features
        if isinstance(encoder, FrontEndStimulusEncoder):
            begin_with_features(encoder.shared, n_features)
            if self.uses_context:
                begin_with_features(self.neural_shared, n_features)

    @property
    def uses_context(self) -> bool:
        """Whether the population encoder reads an animal's context at all."""
        return self.configuration.population == "contextual"

    def stimulus_features(self, stimulus: Tensor) -> Tensor:
        """Features ``f(y)``: ``(B, T, 1, H, W)`` to ``(B, T, F)``."""
        return self.stimulus_encoder.stimulus_features(stimulus)

    def encode_stimulus(self, stimulus: Tensor) -> StimulusPosterior:
        """Posteriors of the stimulus latents and the features, from luminance ``(B, T, 1, H, W)`` in [0, 1]."""
        return self.stimulus_encoder(stimulus)  # type: ignore[no-any-return]

    def make_context(self, neural: Tensor, features: Tensor) -> Context:
        """Context from clips of activity ``(B, T, N)`` and their stimulus features ``(B, T, F)``, in one piece."""
        sums = self.context_builder.sums(neural.shape[2], neural.shape[0] * neural.shape[1])
        sums.add(neural, features)
        return self.context_builder(sums)  # type: ignore[no-any-return]

    def predict_features(self, neural: Tensor, context: Context) -> Tensor:
        """What the in-context ridge read-out alone says: activity ``(B, T, N)`` to features ``(B, T, F)``."""
        return context.predict_features(neural, self._readout_offsets)

    def describe(self, coordinates: Tensor, context: Context | None) -> Tensor:
        """Descriptors ``(N, D)`` of neurons at coordinates ``(N, 3)`` in micrometres."""
        return self.population.describe(coordinates, context)

    def private_prior(self, auxiliary: Tensor, coordinates: Tensor) -> Gaussian:
        """``p(z_xm | u, p)``, shape ``(B, T, M)``."""
        return self.prior(auxiliary, coordinates)  # type: ignore[no-any-return]

    def encode_neural(
        self, neural: Tensor, coordinates: Tensor, context: Context | None, auxiliary: Tensor
    ) -> NeuralPosterior:
        """Posteriors of the neural latents.

        Parameters
        ----------
        neural : Tensor, (B, T, N)
            Standardised activity.
        coordinates : Tensor, (N, 3)
            Micrometres, NaN where unknown.
        context : Context or None
            What is known of these neurons; None works from coordinates alone.
        auxiliary : Tensor, (B, T, U)
            Standardised auxiliary variables.
        """
        return self.neural_posterior(self.population(neural, coordinates, context), coordinates, auxiliary)

    def neural_posterior(self, population: Tensor, coordinates: Tensor, auxiliary: Tensor) -> NeuralPosterior:
        """The last step of :meth:`encode_neural`: from the population encoder's vectors ``(B, T, size)``."""
        private = Gaussian.from_parameters(self.neural_private(population))
        return NeuralPosterior(
            shared=Gaussian.from_parameters(self.neural_shared(population)),
            private=private.times(self.private_prior(auxiliary, coordinates)),
        )

    def decode_neural(self, shared: Tensor, private: Tensor, descriptors: Tensor) -> Tensor:
        """Expected activity ``(B, T, N)``, standardised as it went in, from latents and descriptors ``(N, D)``."""
        drive, parameters = self.neural_decoder(shared, private, descriptors)
        return expected_activity(self.likelihood, drive, parameters)

    def decode_stimulus(self, shared: Tensor, private: Tensor) -> Tensor:
        """Luminance ``(B, T, 1, H, W)`` in (0, 1) from latents."""
        return self.stimulus_decoder(shared, private)  # type: ignore[no-any-return]

    def forward(self, episodes: Sequence[Episode], generator: torch.Generator | None = None) -> LossTerms:
        """The loss of some episodes; see :meth:`loss`."""
        return self.loss(episodes, generator)

    def loss(self, episodes: Sequence[Episode], generator: torch.Generator | None = None) -> LossTerms:
        """Every term of the objective over the episodes of one step (design, section 4).

        Reconstructions and divergences are averaged over episodes, frames and latents (or neurons, or pixels);
        matching and disentanglement are over all clips of the step together.

        Parameters
        ----------
        episodes : sequence of Episode
            Clips of one session each.
        generator : torch.Generator, optional
            Source of the noise of the posterior samples; without one, means are used.
        """
        sums: dict[str, Tensor] = {}
        neural_shared: list[Gaussian] = []
        stimulus_shared: list[Gaussian] = []
        neural_private: list[Tensor] = []
        stimulus_private: list[Tensor] = []
        for episode in episodes:
            terms, neural, stimulus = self._episode_terms(episode, generator)
            for name, value in terms.items():
                sums[name] = sums[name] + value if name in sums else value
            neural_shared.append(neural.shared)
            stimulus_shared.append(stimulus.shared)
            neural_private.append(neural.private.mean)
            stimulus_private.append(stimulus.private.mean)
        terms = {name: value / len(episodes) for name, value in sums.items()}
        neural_all = Gaussian(*(torch.cat(parts) for parts in zip(*neural_shared, strict=True)))
        stimulus_all = Gaussian(*(torch.cat(parts) for parts in zip(*stimulus_shared, strict=True)))
        content = torch.cat([episode.target.content for episode in episodes])
        terms["matching"], matched = matching_loss(neural_all, stimulus_all, content, self.log_matching_scale)
        terms["cross_covariance"] = 0.5 * (
            cross_covariance(neural_all.mean, torch.cat(neural_private))
            + cross_covariance(stimulus_all.mean, torch.cat(stimulus_private))
        )
        weights = self.configuration.loss.model_dump()
        # Left out, not multiplied by 0: a term that nobody asked for must not make the loss NaN where it overflows.
        total = torch.stack([weights[name] * value for name, value in terms.items() if weights[name] > 0]).sum()
        figures = {
            "matched": matched,
            "matching_scale": self.log_matching_scale.exp(),
            "active_units": (stimulus_all.mean.flatten(0, 1).var(0) > 1e-2).float().sum(),
        }
        if self.uses_context:
            figures["readout_penalty"] = self.context_builder.log_penalty.exp()
        return LossTerms(total, terms, {name: value.detach() for name, value in figures.items()})

    def _episode_terms(
        self, episode: Episode, generator: torch.Generator | None
    ) -> tuple[dict[str, Tensor], NeuralPosterior, StimulusPosterior]:
        target = episode.target
        context = None
        if episode.context is not None and self.uses_context:
            context = self.make_context(episode.context.neural, self.stimulus_features(episode.context.stimulus))
        stimulus = self.encode_stimulus(target.stimulus)
        neural = self.encode_neural(target.neural, target.coordinates, context, target.auxiliary)
        prior = self.private_prior(target.auxiliary, target.coordinates)
        fused = neural.shared.times(stimulus.shared)
        descriptors = self.describe(target.coordinates, context)

        def neural_loss(shared: Tensor, private: Tensor) -> Tensor:
            drive, parameters = self.neural_decoder(shared, private, descriptors)
            return negative_log_likelihood(self.likelihood, target.neural, drive, parameters).mean()

        log_variance = self.stimulus_decoder.log_variance

        def stimulus_loss(shared: Tensor, private: Tensor) -> Tensor:
            squared = (self.decode_stimulus(shared, private).float() - target.stimulus).square()
            return 0.5 * (squared * torch.exp(-log_variance) + log_variance).mean()

        fused_sample = fused.sample(generator)
        terms = {
            "neural_reconstruction": neural_loss(fused_sample, neural.private.sample(generator)),
            "stimulus_reconstruction": stimulus_loss(fused_sample, stimulus.private.sample(generator)),
            "neural_from_stimulus": neural_loss(stimulus.shared.sample(generator), prior.mean),
            "stimulus_from_neural": stimulus_loss(
                neural.shared.sample(generator), torch.zeros_like(stimulus.private.mean)
            ),
            "fused_from_neural": fused.divergence_from(neural.shared).mean(),
            "fused_from_stimulus": fused.divergence_from(stimulus.shared).mean(),
            "shared_symmetric": 0.5
            * (neural.shared.divergence_from(stimulus.shared) + stimulus.shared.divergence_from(neural.shared)).mean(),
            "neural_private": neural.private.divergence_from(prior).mean(),
            "stimulus_private": stimulus.private.divergence_from(Gaussian.standard(stimulus.private.mean)).mean(),
        }
        return terms, neural, stimulus
