"""Which combinations of a description of the stimulus populations of cells carry: one basis for all animals.

Every animal's cells are predicted from the description by ridge regression (an encoding model), in closed form. The
predicted activity of all cells of all animals together has principal components; as functions of the stimulus they are
what V1 cells say of it, most of it first (reduced-rank regression, Izenman 1975, over the cells of many animals). No
animal has to have seen what another saw, and none has a parameter: an animal that is never among them is read in the
same terms.

Weights that were fitted to noise are weights too, and would be taken for something that cells carry. Every animal is
therefore predicted twice, from either half of its recording, and products of both count: noise agrees by chance only.
By chance it still does, a little: the last features of a basis, where few are carried, are noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from nwb_mivae.model.regression import RegressionSums

__all__ = ["PopulationBasis", "population_basis"]

#: Share of what the leading combination explains below which another one tells nothing of its own.
_LEAST_SHARE = 1e-3
#: Share of a cell's variance that both halves must explain alike for a combination to be kept at all.
_LEAST_EXPLAINED = 1e-6
#: Cells at which an animal weighs half of what it would with any number of them.
_HALF_WEIGHT = 100
#: Deviation of activity below which a cell did nothing.
_LEAST_DEVIATION = 1e-6


class PopulationBasis(NamedTuple):
    """Features are ``(description - centre) @ weights``.

    ``centre`` (D,), ``weights`` (D, K), and ``explained`` (K,): the share of a cell's variance that each feature
    explains, weighted mean over all cells, in descending order.
    """

    centre: Tensor
    weights: Tensor
    explained: Tensor


def population_basis(sessions: Iterable[tuple[RegressionSums, RegressionSums]], n_features: int) -> PopulationBasis:
    """The leading combinations over all sessions; at most ``n_features``, fewer where there is no more to tell.

    Features are uncorrelated within the halves of recordings, pooled. Their variances go with the square root of what
    each explains, so that what cells hardly carry counts less, and add up to ``n_features``. An animal with more cells
    weighs more, but not without bound, so that one large recording does not decide for all.

    Parameters
    ----------
    sessions : iterable of (RegressionSums, RegressionSums)
        Of the halves of each session's recording, from descriptions ``(B, T, D)`` to the activity ``(B, T, N)`` of
        its cells, in any unit: each is divided by its standard deviation. They are used one after the other, and
        none is kept.
    n_features : int
        K, at most.

    Raises
    ------
    ValueError
        If there is no session.
    """
    frames, weight = 0, 0.0
    pooled: list[Tensor] = []
    for halves in sessions:
        deviation = torch.stack([half.output_deviation for half in halves]).mean(0)
        active = deviation > _LEAST_DEVIATION
        one, other = (half.weights()[:, active] / deviation[active] for half in halves)
        agreed = one @ other.T / (len(deviation) + _HALF_WEIGHT)
        frames += sum(half.frames for half in halves)
        weight += len(deviation) / (len(deviation) + _HALF_WEIGHT)
        parts = [
            torch.stack([half.frames * half.input_mean for half in halves]).sum(0),
            halves[0].gram() + halves[1].gram(),
            0.5 * (agreed + agreed.T),
        ]
        pooled = [known + part for known, part in zip(pooled, parts, strict=True)] if pooled else parts
    if not pooled:
        raise ValueError("no session")
    total, gram, explained = pooled
    variance, direction = torch.linalg.eigh(gram / frames)
    deviation = variance.clamp_min(1e-9 * variance[-1].clamp_min(1e-12)).sqrt()
    root = (direction * deviation) @ direction.T
    share, combination = torch.linalg.eigh(root @ (explained / weight) @ root)
    share, combination = share.flip(0)[:n_features], combination.flip(1)[:, :n_features]
    kept = share > (_LEAST_SHARE * share[0]).clamp_min(_LEAST_EXPLAINED)
    share, combination = share[kept], combination[:, kept]
    unit = (direction / deviation) @ direction.T @ combination
    spread = share.sqrt() * (n_features / share.sqrt().sum()) if len(share) else share
    # The sign of an eigenvector is arbitrary; a rule makes it the same on every machine.
    largest = unit.abs().argmax(0, keepdim=True)
    unit = unit * unit.gather(0, largest).sign()
    return PopulationBasis((total / frames).float(), (unit * spread.sqrt()).float(), share.float())
