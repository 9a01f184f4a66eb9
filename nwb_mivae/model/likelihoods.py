"""Likelihoods of neural activity given what the decoder expects; the kind of trace picks the default.

dF/F and raw fluorescence are Gaussian with a variance per neuron, spike counts are Poisson, deconvolved activity and
events follow a zero-inflated gamma (Wei et al. 2020, "A zero-inflated gamma model for deconvolved calcium imaging
traces"): zero with some probability, else a gamma that starts at the threshold below which activity counts as zero.
Every likelihood takes the decoder's unbounded output and per-neuron parameters read from the descriptors.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = ["LIKELIHOOD_OF_KIND", "NEURON_PARAMETERS", "Likelihood", "expected_activity", "negative_log_likelihood"]

Likelihood = Literal["gaussian", "poisson", "zero_inflated_gamma"]

#: The default likelihood for each kind of trace.
LIKELIHOOD_OF_KIND: dict[str, Likelihood] = {
    "dff": "gaussian",
    "fluorescence": "gaussian",
    "spikes": "poisson",
    "deconvolved": "zero_inflated_gamma",
    "events": "zero_inflated_gamma",
}

#: Parameters per neuron that each likelihood needs beside the drive.
NEURON_PARAMETERS: dict[Likelihood, int] = {"gaussian": 1, "poisson": 1, "zero_inflated_gamma": 2}

#: Activity at or below this is "zero" for the zero-inflated gamma, in units of the neuron's standard deviation. The
#: gamma starts here; begun at 0 it would put up to 40 % of its mass where no activity is counted as present.
ZERO_ACTIVITY = 1e-3
#: Smallest mean and shape of the gamma, and smallest excess over the threshold that its density is taken at: for
#: shapes below 1 it grows without bound towards the threshold, and what is near zero is the zeros' to explain.
_SMALLEST_MEAN, _SMALLEST_SHAPE, _SMALLEST_EXCESS = 1e-3, 0.5, 1e-7


def expected_activity(likelihood: Likelihood, drive: Tensor, parameters: Tensor) -> Tensor:
    """Expected activity from the drive ``(B, T, N)`` and parameters ``(N, P)``; shape of ``drive``."""
    if likelihood == "gaussian":
        return drive
    if likelihood == "poisson":
        return softplus(drive)
    return torch.sigmoid(drive + parameters[:, 1]) * (ZERO_ACTIVITY + _SMALLEST_MEAN + softplus(drive))


def negative_log_likelihood(likelihood: Likelihood, activity: Tensor, drive: Tensor, parameters: Tensor) -> Tensor:
    """Negative log-likelihood per frame and neuron, in nats, constants included; shape of ``activity``."""
    activity, drive, parameters = activity.float(), drive.float(), parameters.float()
    if likelihood == "gaussian":
        log_variance = 6.0 * torch.tanh(parameters[:, 0] / 6.0)
        return 0.5 * ((activity - drive).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))
    if likelihood == "poisson":
        rate = softplus(drive) + 1e-6
        return rate - activity * rate.log() + torch.lgamma(activity + 1)
    shape = softplus(parameters[:, 0]) + _SMALLEST_SHAPE
    mean = _SMALLEST_MEAN + softplus(drive)
    present = activity > ZERO_ACTIVITY
    excess = torch.where(present, activity - ZERO_ACTIVITY, torch.ones_like(activity)).clamp_min(_SMALLEST_EXCESS)
    rate = shape / mean
    log_gamma = shape * rate.log() - torch.lgamma(shape) + (shape - 1) * excess.log() - rate * excess
    logit = drive + parameters[:, 1]
    return -torch.where(present, logsigmoid(logit) + log_gamma, logsigmoid(-logit))
