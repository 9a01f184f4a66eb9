"""All derivatives of latents that look only some frames far, for few vector-Jacobian products however long the clip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nwb_mivae.attribution.score import in_groups, linearise
from nwb_mivae.model import Gaussian

__all__ = ["windowed_jacobian"]


def windowed_jacobian(
    posterior: Callable[[Tensor], Gaussian], source: Tensor, reach: int, *, vectors_at_once: int
) -> Tensor:
    """Derivatives of means and of log-variances, scaled so that their squares add up to the Fisher score.

    Two latent frames further apart than twice the reach depend on no common frame of the source, so that one
    vector-Jacobian product serves both: what it says of a frame belongs to the one that is within reach of it.

    Parameters
    ----------
    posterior : callable
        Source to the posterior of K latents, each at a frame depending on no frame of the source further than
        ``reach`` away.
    source : Tensor, (B, T, P)
    reach : int
        Frames.
    vectors_at_once : int
        Products done together; it changes no figure.

    Returns
    -------
    Tensor, (B, T, 2 * reach + 1, 2 * K, P)
        The derivatives at frame s of the latents at frame t, within reach of it, are at ``[:, s, t - s + reach]``, the
        means' first; zeros where there is no such frame t.
    """
    linearised = linearise(posterior, source)
    log_variance = linearised.posterior.log_variance
    scale = torch.exp(-0.5 * log_variance)
    n_clips, n_frames, n_latents = log_variance.shape
    period = 2 * reach + 1
    jacobian = source.new_zeros(n_clips, n_frames, period, 2 * n_latents, source.shape[-1])
    each = torch.eye(2 * n_latents, dtype=source.dtype, device=source.device)
    frames = torch.arange(n_frames, device=source.device)
    for number in range(min(period, n_frames)):
        at = (frames % period == number).to(source)[:, None]
        ahead = (number - frames + reach) % period
        for rows in in_groups(2 * n_latents, vectors_at_once):
            weights = each[rows][:, None, None] * at
            to_mean = weights[..., :n_latents] * scale
            to_log_variance = (weights[..., n_latents:] * 0.5**0.5).expand_as(to_mean)
            gradients = linearised.pull_back((to_mean, to_log_variance))
            jacobian[:, frames, ahead, rows[0] : rows[-1] + 1] = gradients.permute(1, 2, 0, 3)
    return jacobian
