"""Latents of the test clips of every session, under every condition that the network takes part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.clips import load_clips
from nwb_mivae.evaluation.conditions import Posterior
from nwb_mivae.model import MiVAEModule

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.model import Context, Gaussian

__all__ = ["Population", "SessionEmbedding", "StimulusEmbedding", "embed_session", "untrained_module"]


@dataclass(frozen=True)
class Population:
    """One way to read a session's neurons: a module, a context, and the column of activity each neuron is given."""

    module: MiVAEModule
    context: Context | None
    order: npt.NDArray[np.int64] | None = None


class StimulusEmbedding:
    """Stimulus posteriors of one module by what clips show, so that sessions sharing clips pay for them once."""

    def __init__(self, module: MiVAEModule) -> None:
        self._module = module
        self._known: dict[bytes, tuple[Posterior, Posterior, Posterior]] = {}

    def add(self, content: npt.NDArray[np.int64], stimulus: torch.Tensor) -> None:
        """Encode those of the clips (B, T, 1, H, W) whose content (B, T) is new."""
        new = {clip.tobytes(): number for number, clip in enumerate(content) if clip.tobytes() not in self._known}
        if not new:
            return
        device = next(self._module.parameters()).device
        encoded = self._module.encode_stimulus(stimulus[list(new.values())].to(device))
        parts = _on_host(encoded.shared), _on_host(encoded.private), _certain(encoded.features)
        for place, key in enumerate(new):
            of_clip = slice(place, place + 1)
            shared, private, features = (Posterior(part.mean[of_clip], part.variance[of_clip]) for part in parts)
            self._known[key] = (shared, private, features)

    def shared(self, content: npt.NDArray[np.int64]) -> Posterior:
        """``q(z_yc | y)`` of clips by content (M, T)."""
        return concatenate([self._known[clip.tobytes()][0] for clip in content])

    def private(self, content: npt.NDArray[np.int64]) -> Posterior:
        """``q(z_ym | y)`` of clips by content (M, T)."""
        return concatenate([self._known[clip.tobytes()][1] for clip in content])

    def features(self, content: npt.NDArray[np.int64]) -> Posterior:
        """``f(y)`` of clips by content (M, T), as posteriors without variance."""
        return concatenate([self._known[clip.tobytes()][2] for clip in content])


@dataclass(frozen=True)
class SessionEmbedding:
    """Test clips of one session: ``content`` (Q, T) and, by population, what its neurons say.

    The shared and private neural posteriors, and the features that the ridge read-out predicts for populations that
    have a context.
    """

    content: npt.NDArray[np.int64]
    shared: Mapping[str, Posterior]
    private: Mapping[str, Posterior]
    predicted: Mapping[str, Posterior]

    def only(self, population: str) -> SessionEmbedding:
        """The same clips as one population reads them."""
        return SessionEmbedding(
            self.content, {population: self.shared[population]}, {population: self.private[population]}, {}
        )


def embed_session(
    store: ClipStore,
    split: Split,
    session: str,
    starts: npt.NDArray[np.int64],
    populations: Mapping[str, Population],
    stimuli: Sequence[StimulusEmbedding],
    *,
    clips_at_once: int,
) -> SessionEmbedding:
    """Encode a session's clips once per population, and their stimuli into every one of ``stimuli``."""
    content: list[npt.NDArray[np.int64]] = []
    shared: dict[str, list[Posterior]] = {name: [] for name in populations}
    private: dict[str, list[Posterior]] = {name: [] for name in populations}
    predicted: dict[str, list[Posterior]] = {
        name: [] for name, population in populations.items() if population.context is not None
    }
    for first in range(0, len(starts), clips_at_once):
        some = starts[first : first + clips_at_once]
        n_frames = next(iter(populations.values())).module.shape.clip_frames
        batch = load_clips(store, split, session, some, n_frames=n_frames)
        content.append(batch.content.numpy())
        for name, population in populations.items():
            here = batch.to(next(population.module.parameters()).device)
            neural = here.neural if population.order is None else here.neural[:, :, torch.as_tensor(population.order)]
            posterior = population.module.encode_neural(neural, here.coordinates, population.context, here.auxiliary)
            shared[name].append(_on_host(posterior.shared))
            private[name].append(_on_host(posterior.private))
            if population.context is not None:
                predicted[name].append(_certain(population.module.predict_features(neural, population.context)))
        for each in stimuli:
            each.add(content[-1], batch.stimulus)
    return SessionEmbedding(
        content=np.concatenate(content),
        shared={name: concatenate(parts) for name, parts in shared.items()},
        private={name: concatenate(parts) for name, parts in private.items()},
        predicted={name: concatenate(parts) for name, parts in predicted.items()},
    )


def untrained_module(module: MiVAEModule, seed: int) -> MiVAEModule:
    """The same architecture with random weights, on the same device; global random state is left as it was.

    A visual front end and a cortical map are the module's own, since no gradient ever changed them; the heads after
    them are random, and do not begin with the closed form as those of a module that is going to be trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = MiVAEModule(module.configuration, module.shape)
    if module.front_end is not None and fresh.front_end is not None:
        fresh.front_end.load_state_dict(module.front_end.state_dict())
    if module.cortical_map is not None and fresh.cortical_map is not None:
        fresh.cortical_map.load_state_dict(module.cortical_map.state_dict())
    return fresh.to(next(module.parameters()).device).eval()


def concatenate(parts: Sequence[Posterior]) -> Posterior:
    """The clips of several posteriors, one after the other."""
    return Posterior(np.concatenate([part.mean for part in parts]), np.concatenate([part.variance for part in parts]))


def _certain(values: torch.Tensor) -> Posterior:
    mean = values.detach().float().cpu().numpy()
    return Posterior(mean, np.zeros_like(mean))


def _on_host(gaussian: Gaussian) -> Posterior:
    return Posterior(gaussian.mean.detach().cpu().numpy(), gaussian.variance.detach().cpu().numpy())
