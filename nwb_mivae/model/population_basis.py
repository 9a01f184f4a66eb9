"""Which combinations of a description of the stimulus populations of cells carry: one basis for all animals.

Every animal's cells are predicted from the description by ridge regression (an encoding model), in closed form. The
predicted activity of all cells of all animals together has principal components; as functions of the stimulus they are
what V1 cells say of it, most of it first (reduced-rank regression, Izenman 1975, over the cells of many animals). No
animal has to have seen what another saw, and none has a parameter: an animal that is never among them is read in the
same terms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from nwb_mivae.model.regression import RegressionSums

__all__ = ["PopulationBasis", "population_basis"]

#: Share of what the leading combination explains below which another one is noise.
_LEAST_SHARE = 1e-3


class PopulationBasis(NamedTuple):
    """Features are ``(description - centre) @ weights``.

    ``centre`` (D,), ``weights`` (D, K), and ``explained`` (K,): the share of a cell's variance that each feature
    explains, mean over all cells, in descending order.
    """

    centre: Tensor
    weights: Tensor
    explained: Tensor


def population_basis(sessions: Iterable[RegressionSums], n_features: int) -> PopulationBasis:
    """The leading combinations over all sessions; at most ``n_features``, fewer where there is no more to tell.

    Features are uncorrelated over the frames of all sessions. Their variances go with the square root of what each
    explains, so that what cells hardly carry counts less, and add up to ``n_features``.

    Parameters
    ----------
    sessions : iterable of RegressionSums
        Of each session, from descriptions ``(B, T, D)`` to the activity ``(B, T, N)`` of its cells, whose variances
        should be about one. They are used one after the other, and none is kept.
    n_features : int
        K, at most.
    """
    frames, cells = 0, 0
    pooled: list[Tensor] = []
    for sums in sessions:
        weights = sums.weights()
        frames, cells = frames + sums.frames, cells + weights.shape[1]
        parts = [sums.frames * sums.input_mean, sums.gram(), weights @ weights.T]
        pooled = [known + part for known, part in zip(pooled, parts, strict=True)] if pooled else parts
    total, gram, explained = pooled
    variance, direction = torch.linalg.eigh(gram / frames)
    deviation = variance.clamp_min(1e-9 * variance[-1].clamp_min(1e-12)).sqrt()
    root = (direction * deviation) @ direction.T
    share, combination = torch.linalg.eigh(root @ (explained / cells) @ root)
    share, combination = share.flip(0)[:n_features], combination.flip(1)[:, :n_features]
    # Where no cell follows the stimulus at all, nothing is kept, and rounding errors are not either.
    kept = share > (_LEAST_SHARE * share[0]).clamp_min(1e-12)
    share, combination = share[kept], combination[:, kept]
    unit = (direction / deviation) @ direction.T @ combination
    spread = share.sqrt() * (n_features / share.sqrt().sum()) if len(share) else share
    # The sign of an eigenvector is arbitrary; a rule makes it the same on every machine.
    largest = unit.abs().argmax(0, keepdim=True)
    unit = unit * unit.gather(0, largest).sign()
    return PopulationBasis((total / frames).float(), (unit * spread.sqrt()).float(), share.float())
