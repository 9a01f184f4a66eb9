"""What the model loses when the cells, or the pixels, that attribution ranks highest are taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nwb_mivae.attribution.quantities import Evidence
from nwb_mivae.clips import evenly, load_clips
from nwb_mivae.evaluation import EvaluationConfiguration, metrics
from nwb_mivae.evaluation.conditions import Posterior, condition_metrics
from nwb_mivae.inference import session_context
from tests.benchmarks.attribution.measures import area_under, removal_curves

if TYPE_CHECKING:
    from nwb_mivae.model import Gaussian
    from tests.benchmarks.attribution.finding_planted import Judged

__all__ = ["SHARES", "judge_of_cells", "judge_of_pixels", "removal_figures"]

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

_Judge = Callable[[npt.NDArray[np.bool_]], Mapping[str, float]]


def removal_figures(
    rankings: Mapping[str, npt.NDArray[Any]], judge: _Judge, *, random_orders: int, seed: int
) -> dict[str, Any]:
    """Curves and areas under them by what is ranked by, and under ``random`` their mean over random orders.

    Evidence is given as a share: 1 with everything there, 0 with everything removed.
    """
    random = np.random.default_rng([seed, 31])
    shape = next(iter(rankings.values())).shape
    of_random = [_shared(removal_curves(random.random(shape), SHARES, judge)) for _ in range(random_orders)]
    curves = {name: _shared(removal_curves(ranking, SHARES, judge)) for name, ranking in rankings.items()}
    curves["random"] = {
        way: {name: np.mean([each[way][name] for each in of_random], axis=0).tolist() for name in figures}
        for way, figures in of_random[0].items()
    }
    areas = {
        order: {way: {name: area_under(SHARES, values) for name, values in each.items()} for way, each in ways.items()}
        for order, ways in curves.items()
    }
    return {"shares": list(SHARES), "curves": curves, "areas": areas}


@torch.no_grad()
def judge_of_cells(model: Judged, session: str, clips: int) -> _Judge:
    """Judges a population without some cells: evidence for the stimulus estimate, and top-1 retrieval of the clip.

    A removed cell is given its mean over these test clips. Retrieval is of each clip by ``z_xc``, among ``z_yc`` of
    the different ones.
    """
    batch, content = _clips(model, session, clips)
    context = session_context(model.module, model.store, model.split, session)
    shown = model.module.encode_stimulus(batch.stimulus).shared
    first, target = metrics.distinct_clips(content)
    candidates = _posterior(shown).of_clips(first)
    baseline = batch.neural.mean((0, 1))
    evidence = _evidence_at(shown.mean)

    @torch.no_grad()
    def judge(removed: npt.NDArray[np.bool_]) -> Mapping[str, float]:
        neural = torch.where(torch.from_numpy(removed), baseline, batch.neural)
        posterior = model.module.encode_neural(neural, batch.coordinates, context, batch.auxiliary).shared
        return {"evidence": evidence(posterior), "top1": _top1(_posterior(posterior), candidates, target)}

    return judge


@torch.no_grad()
def judge_of_pixels(model: Judged, session: str, clips: int) -> _Judge:
    """Judges frames without some pixels by how they agree with what the untouched activity says.

    A removed pixel is given its mean over these test clips. Evidence is that of ``z_yc`` for the estimate from
    activity; retrieval is of each different clip by ``z_yc``, among ``z_xc`` of these.
    """
    batch, content = _clips(model, session, clips)
    context = session_context(model.module, model.store, model.split, session)
    told = model.module.encode_neural(batch.neural, batch.coordinates, context, batch.auxiliary).shared
    first, _ = metrics.distinct_clips(content)
    candidates = _posterior(told).of_clips(first)
    baseline = batch.stimulus.mean((0, 1))
    evidence = _evidence_at(told.mean)

    @torch.no_grad()
    def judge(removed: npt.NDArray[np.bool_]) -> Mapping[str, float]:
        stimulus = torch.where(torch.from_numpy(removed), baseline, batch.stimulus)
        posterior = model.module.encode_stimulus(stimulus).shared
        queries = _posterior(posterior).of_clips(first)
        return {"evidence": evidence(posterior), "top1": _top1(queries, candidates, np.arange(len(first)))}

    return judge


def _clips(model: Judged, session: str, clips: int) -> tuple[Any, npt.NDArray[np.int64]]:
    stored, frames = model.store.sessions[session], model.module.shape.clip_frames
    starts = evenly(model.split.clip_starts(stored, "test", n_frames=frames, stride=frames), clips)
    batch = load_clips(model.store, model.split, session, starts, n_frames=frames)
    return batch, np.asarray(stored.content[starts[:, None] + np.arange(frames)])


def _evidence_at(estimate: torch.Tensor) -> Callable[[Gaussian], float]:
    """Evidence for the estimate (B, T, K), as attribution divides it, in nats a clip."""
    quantity = Evidence(estimate, estimate.mean((0, 1)), estimate.square().mean((0, 1)))
    return lambda posterior: float(quantity.value(posterior).sum(1).mean())


def _posterior(gaussian: Gaussian) -> Posterior:
    return Posterior(gaussian.mean.numpy(), gaussian.variance.numpy())


def _top1(queries: Posterior, candidates: Posterior, target: npt.NDArray[np.int64]) -> float:
    top1 = condition_metrics(queries, candidates, target, EvaluationConfiguration().distance)["top1"]
    assert top1 is not None
    return top1


def _shared(curves: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    """The same curves with evidence as a share of what all elements together add."""
    whole, nothing = curves["deleted"]["evidence"][0], curves["deleted"]["evidence"][-1]
    return {
        way: {**figures, "evidence": [(value - nothing) / (whole - nothing) for value in figures["evidence"]]}
        for way, figures in curves.items()
    }
