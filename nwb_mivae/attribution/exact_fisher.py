"""The exact Fisher score of neurons, at the cost of some matrix products.

Where a population encoder adds neurons up before it mixes anything, the derivative by a neuron is a short sum of
products: what the posterior owes to the read-in, which knows no neurons, times what the read-in owes to the neuron.
Only the first needs differentiation, through a network of a few thousand weights. This is no approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from nwb_mivae.attribution.cost import MEBIBYTE, encoding_cost
from nwb_mivae.attribution.score import FisherMaps, fisher, in_groups, linearise
from nwb_mivae.attribution.windowed import windowed_jacobian
from nwb_mivae.model.population import ReadInTerm, SeparablePopulation

if TYPE_CHECKING:
    from nwb_mivae.clips.batch import ClipBatch
    from nwb_mivae.model import Context, Gaussian, MiVAEModule

__all__ = ["exact_fisher_of_neurons", "fisher_through_read_in"]

#: Neurons done together at most: their products with all latents then stay in the processor's cache.
_MOST_NEURONS = 512


def exact_fisher_of_neurons(
    module: MiVAEModule,
    batch: ClipBatch,
    context: Context | None,
    *,
    latents: Literal["shared", "private"] = "shared",
    memory: float = 1024.0,
) -> FisherMaps:
    """Exact Fisher score of the neural latents with respect to activity; of any design of the population encoder.

    Designs that add neurons up first take :func:`fisher_through_read_in`, others every row of their Jacobian. The
    private latents' prior does not depend on activity, but it is part of their posterior.

    Parameters
    ----------
    module : MiVAEModule
        In evaluation mode; call this under ``torch.no_grad``.
    batch : ClipBatch
        B clips of T frames of N neurons.
    context : Context or None
        Held fixed.
    latents : {"shared", "private"}
        The K latents that are attributed.
    memory : float
        Mebibytes that may be used at once, about; it changes no figure.

    Returns
    -------
    FisherMaps
        ``per_probe`` (1, B, T, N) and ``per_latent`` (K, N).
    """
    population, coordinates, auxiliary = module.population, batch.coordinates, batch.auxiliary
    if isinstance(population, SeparablePopulation):

        def posterior(read_in: Tensor) -> Gaussian:
            found = module.neural_posterior(population.mix(read_in), coordinates, auxiliary)
            return found.shared if latents == "shared" else found.private

        return fisher_through_read_in(population, posterior, batch.neural, coordinates, context, memory=memory)

    def encode(neural: Tensor) -> Gaussian:
        found = module.encode_neural(neural, coordinates, context, auxiliary)
        return found.shared if latents == "shared" else found.private

    vectors = encoding_cost(encode, batch.neural).vectors_at_once(len(batch.neural), memory)
    return fisher(linearise(encode, batch.neural), probes=None, vectors_at_once=vectors)


def fisher_through_read_in(
    population: SeparablePopulation,
    posterior: Callable[[Tensor], Gaussian],
    neural: Tensor,
    coordinates: Tensor,
    context: Context | None,
    *,
    memory: float = 1024.0,
) -> FisherMaps:
    """What :func:`~nwb_mivae.attribution.score.fisher` returns without probes, of a posterior of the read-in.

    Parameters
    ----------
    population : SeparablePopulation
    posterior : callable
        Read-in ``(B, T, P)`` to a posterior of K latents, which looks as far along time as ``population.reach`` says.
    neural : Tensor, (B, T, N)
    coordinates : Tensor, (N, 3)
    context : Context or None
    memory : float
        Mebibytes that may be used at once, about; it changes no figure.

    Returns
    -------
    FisherMaps
        ``per_probe`` (1, B, T, N) and ``per_latent`` (K, N).
    """
    read_in = population.read_in(neural, coordinates, context)
    vectors = encoding_cost(posterior, read_in).vectors_at_once(len(read_in), memory / 2)
    jacobian = windowed_jacobian(posterior, read_in, population.reach, vectors_at_once=vectors)
    terms = population.read_in_terms(neural, coordinates, context)
    n_clips, n_frames, n_cells = neural.shape
    n_latents = jacobian.shape[3] // 2
    squares = neural.new_zeros(1, n_clips, n_frames, n_cells)
    per_latent = neural.new_zeros(n_latents, n_cells)
    bytes_per_cell = 2 * n_frames * 2 * n_latents * neural.element_size()
    most_cells = max(1, min(_MOST_NEURONS, int(memory / 2 * MEBIBYTE // bytes_per_cell)))
    for cells in in_groups(n_cells, most_cells):
        some = slice(cells[0], cells[-1] + 1)
        parts = _of_cells(terms, some)
        for clip in range(n_clips):
            for frame in range(n_frames):
                derivatives = _derivatives(jacobian, parts, population.reach, clip, frame)
                if derivatives is not None:
                    of_latents = derivatives.square_().reshape(-1, n_latents, len(cells)).sum(0)
                    per_latent[:, some] += of_latents
                    squares[0, clip, frame, some] = of_latents.sum(0)
    return FisherMaps(squares, per_latent)


class _Part(NamedTuple):
    """What cells add to some columns of the read-in at one offset: weights ``(C, N)``, and those that have a slope."""

    offset: int
    columns: slice
    weights: Tensor
    sloped: list[tuple[Tensor, Tensor]]

    def at(self, clip: int, frame: int) -> Tensor:
        """Derivatives ``(C, N)`` of the columns by the cells' activity at a frame."""
        weights = self.weights
        for more, slope in self.sloped:
            weights = torch.addcmul(weights, more, slope[clip, frame])
        return weights

    def reading(self, frame: int, n_frames: int) -> list[int]:
        """Frames of the read-in that a frame of activity adds to: at a clip's ends more than one, or none."""
        if 0 < frame < n_frames - 1:
            return [frame - self.offset] if 0 <= frame - self.offset < n_frames else []
        return [to for to in range(n_frames) if min(max(to + self.offset, 0), n_frames - 1) == frame]


def _of_cells(terms: Sequence[ReadInTerm], cells: slice) -> list[_Part]:
    """Terms of some cells; those that add to the same columns at the same offset become one."""
    parts: dict[tuple[int, int, int], _Part] = {}
    for offset, first, weights, slope in terms:
        own = weights[cells].T.contiguous()
        columns = slice(first, first + len(own))
        place = (offset, first, len(own))
        part = parts.get(place) or _Part(offset, columns, torch.zeros_like(own), [])
        if slope is None:
            part = part._replace(weights=part.weights + own)
        else:
            part.sloped.append((own, slope[:, :, cells]))
        parts[place] = part
    return list(parts.values())


def _derivatives(jacobian: Tensor, parts: list[_Part], reach: int, clip: int, frame: int) -> Tensor | None:
    """Scaled derivatives ``(t * 2 * K, N)`` by activity at a frame, of all latent frames t that depend on it."""
    n_frames, n_rows = jacobian.shape[1], jacobian.shape[3]
    reading = [(part, to) for part in parts for to in part.reading(frame, n_frames)]
    if not reading:
        return None
    within = {to: range(max(to - reach, 0), min(to + reach + 1, n_frames)) for _, to in reading}
    first = min(latents.start for latents in within.values())
    last = max(latents.stop for latents in within.values())
    total = jacobian.new_zeros((last - first) * n_rows, parts[0].weights.shape[1])
    weights = {id(part): part.at(clip, frame) for part, _ in reading}
    for part, to in reading:
        latents = within[to]
        rows = jacobian[clip, to, latents.start - to + reach : latents.stop - to + reach].flatten(0, 1)
        own = total[(latents.start - first) * n_rows : (latents.stop - first) * n_rows]
        own.addmm_(rows[:, part.columns], weights[id(part)])
    return total
