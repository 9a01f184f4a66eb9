"""Figures of merit as pure functions on arrays, each with what it is worth without knowledge.

Latents are posterior means ``(clips, frames, latents)``; a clip is compared with another as the flattened vector of
``frames * latents`` numbers. Everything is computed in float64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nwb_mivae.errors import EvaluationError

__all__ = [
    "active_units",
    "centred_correlation",
    "centred_cosine_similarity",
    "derangement",
    "distinct_clips",
    "expected_squared_distance",
    "paired_correlation",
    "top_k",
    "unpaired_correlation",
]

FloatArray = npt.NDArray[np.floating]
IntegerArray = npt.NDArray[np.int64]

#: Distances this close, relative to the largest one, are one distance: float rounding must not break a tie.
_TIE = 1e-10


def distinct_clips(content: IntegerArray) -> tuple[IntegerArray, IntegerArray]:
    """Number clips by what they show, so that showings of the same pixels count as one candidate.

    Parameters
    ----------
    content : ndarray of int64, (Q, T)
        Identity of each frame's pixels.

    Returns
    -------
    first : ndarray of int64, (M,)
        First clip of each of the M different contents, increasing.
    candidate : ndarray of int64, (Q,)
        For each clip, which of the M contents it shows.
    """
    _, first, inverse = np.unique(content, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[inverse.reshape(-1)].astype(np.int64)


def expected_squared_distance(
    mean: FloatArray, variance: FloatArray, other_mean: FloatArray, other_variance: FloatArray
) -> npt.NDArray[np.float64]:
    """Expected squared distance of independent Gaussians, the quantity the model's matching term ranks by.

    ``|mu_a - mu_b|^2 + sum sigma_a^2 + sum sigma_b^2``, averaged over frames and latents.

    Parameters
    ----------
    mean, variance : ndarray, (Q, T, K)
    other_mean, other_variance : ndarray, (M, T, K)

    Returns
    -------
    ndarray of float64, (Q, M)
    """
    a, b = _flat(mean), _flat(other_mean)
    # A common shift changes no distance, and near the origin the three squares lose no digits to each other.
    origin = b.mean(axis=0)
    a, b = a - origin, b - origin
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    spread = _flat(variance).sum(1)[:, None] + _flat(other_variance).sum(1)[None, :]
    distance: npt.NDArray[np.float64] = (np.maximum(squares, 0.0) + spread) / a.shape[1]
    return distance


def centred_cosine_similarity(mean: FloatArray, other_mean: FloatArray) -> npt.NDArray[np.float64]:
    """Cosine between clips after each modality's mean clip is removed; 0 where a clip is its modality's mean.

    Parameters
    ----------
    mean : ndarray, (Q, T, K)
    other_mean : ndarray, (M, T, K)

    Returns
    -------
    ndarray of float64, (Q, M)
        In [-1, 1].
    """
    a, b = _directions(_flat(mean)), _directions(_flat(other_mean))
    cosine: npt.NDArray[np.float64] = np.clip(a @ b.T, -1.0, 1.0)
    return cosine


def _directions(clips: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    size = np.linalg.norm(clips, axis=1, keepdims=True)
    centred = clips - clips.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    real = length > _TIE * np.maximum(size, 1e-300)
    directions: npt.NDArray[np.float64] = np.where(real, centred / np.where(real, length, 1.0), 0.0)
    return directions


def top_k(distance: npt.NDArray[np.float64], target: IntegerArray, k: int) -> float:
    """Proportion of queries whose target is among the ``k`` nearest candidates, ties drawn by lot.

    Where ``b`` candidates are strictly nearer than the target and ``t`` lie at its distance (the target among them),
    the query counts ``min(max((k - b) / t, 0), 1)``: its expectation over random orders of the tied. A constant
    embedding therefore scores chance, ``k / M``.

    Parameters
    ----------
    distance : ndarray of float64, (Q, M)
    target : ndarray of int64, (Q,)
        The candidate that each query shows.
    k : int

    Returns
    -------
    float
        In [0, 1]; chance is ``min(k / M, 1)``.
    """
    if not np.isfinite(distance).all():
        raise EvaluationError(
            "distances that are not finite numbers",
            expected="finite latents",
            remedy="look at the training log: the loss has probably diverged",
        )
    own = distance[np.arange(len(target)), target][:, None]
    tolerance = _TIE * np.abs(distance).max(initial=0.0)
    nearer = (distance < own - tolerance).sum(1)
    tied = (np.abs(distance - own) <= tolerance).sum(1)
    return float(np.clip((k - nearer) / tied, 0.0, 1.0).mean())


def paired_correlation(mean: FloatArray, other_mean: FloatArray) -> float | None:
    """Pearson R between the flattened means of paired clips ``(Q, T, K)``, as published.

    High without any knowledge of the clip wherever latents differ in their mean: read it beside
    :func:`unpaired_correlation` and :func:`centred_correlation`. ``None`` where one side is constant.
    """
    a, b = _flat(mean), _flat(other_mean)
    return _pearson(a.ravel(), b.ravel())


def centred_correlation(mean: FloatArray, other_mean: FloatArray) -> float | None:
    """Pearson R of paired clips after each latent's mean over clips, at each frame of the clip, is removed.

    ``None`` where one side is constant over clips.
    """
    a, b = _flat(mean), _flat(other_mean)
    if _is_same_in_all_clips(a) or _is_same_in_all_clips(b):
        return None
    return _pearson((a - a.mean(axis=0)).ravel(), (b - b.mean(axis=0)).ravel())


def unpaired_correlation(mean: FloatArray, candidates: FloatArray, target: IntegerArray) -> float | None:
    """Pearson R over all mismatched pairs of clips: what paired R is worth without knowledge of the clip.

    Every pair of a query and a candidate other than its target enters with all its ``T * K`` numbers; no draw is
    involved.

    Parameters
    ----------
    mean : ndarray, (Q, T, K)
    candidates : ndarray, (M, T, K)
    target : ndarray of int64, (Q,)
        The candidate that each query shows.

    Returns
    -------
    float or None
        ``None`` where there is one candidate only, or one side is constant.
    """
    a, b = _flat(mean), _flat(candidates)
    if len(b) < 2 or _is_constant(a) or _is_constant(b):
        return None
    mismatched = (target[:, None] != np.arange(len(b))[None, :]).astype(np.float64)
    of_a, of_b = mismatched.sum(1), mismatched.sum(0)
    n = mismatched.sum() * a.shape[1]
    a = a - (of_a @ a).sum() / n
    b = b - (of_b @ b).sum() / n
    size = np.sqrt((of_a @ a**2).sum() * (of_b @ b**2).sum())
    return float(np.clip((mismatched * (a @ b.T)).sum() / size, -1.0, 1.0)) if size > 0 else None


def derangement(n: int, generator: np.random.Generator) -> IntegerArray:
    """A random permutation of ``n >= 2`` things that leaves none in its place (by rejection: about e draws)."""
    while True:
        permutation = generator.permutation(n)
        if not (permutation == np.arange(n)).any():
            return permutation.astype(np.int64)


def active_units(mean: FloatArray, variance: FloatArray, *, share: float = 0.01) -> int:
    """How many latents carry information: those whose mean varies by more than ``share`` of their total variance.

    The total variance of a latent is ``Var(mu) + E[sigma^2]`` over clips and frames. For a standard normal prior it
    is about 1 and this is the rule of Burda, Grosse & Salakhutdinov (2016), ``Var(mu) > 0.01``; unlike it, this one
    does not depend on the latent's scale, which conditional priors leave free.

    Parameters
    ----------
    mean, variance : ndarray, (Q, T, K)
    """
    k = mean.shape[-1]
    moved = np.asarray(mean, dtype=np.float64).reshape(-1, k).var(axis=0)
    spread = np.asarray(variance, dtype=np.float64).reshape(-1, k).mean(axis=0)
    return int((moved > share * (moved + spread)).sum())


def _flat(values: FloatArray) -> npt.NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def _is_constant(values: npt.NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) <= _TIE * np.abs(values).max())


def _is_same_in_all_clips(clips: npt.NDArray[np.float64]) -> bool:
    return bool(np.ptp(clips, axis=0).max() <= _TIE * np.abs(clips).max())


def _pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    if _is_constant(a) or _is_constant(b):
        return None
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))
