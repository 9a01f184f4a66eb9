"""The ideal observer: which clip was shown, by Bayes' rule from the true rates and the true noise.

No decoder of the same activity can be right more often on average, so retrieval is given as a fraction of it. It knows
what no model is told: the rates of every cell to every candidate; what was on the screen before and after the clip; the
indicator; each cell's noise; and how the private factors change gains. What it does not know is the private factors
themselves: they are marginalised, with the covariance that they have over the session.

An observer of the clip alone stands beside it. It is not told what was on the screen before and after the clip, which
no model is told either, and of which the calcium during half a second holds much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import metrics
from tests.benchmarks.alignment.indicator import as_seen_by_indicator, kernel, within_clips

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["ideal_figures", "ideal_observer"]

FloatArray = npt.NDArray[np.float64]
Truth = Mapping[str, npt.NDArray[Any]]

#: As in the simulator: share of a visual cell's mean rate that it fires without a stimulus, and the highest rate, Hz.
_BASELINE_SHARE = 0.08
_HIGHEST_RATE = 60.0
#: Clips, evenly over the session, that what happens around a clip is learned from.
_CLIPS_ANYWHERE = 600
#: Cells whose whole recording is in memory at once.
_CELLS_AT_ONCE = 256
#: Share of variance below which a way in which private factors, or what is around clips, vary is left out.
_LEAST_SHARE = 1e-3


def ideal_figures(
    stored: StoredSession,
    truth: Truth,
    starts: npt.NDArray[np.int64],
    n_frames: int,
    lag: float,
    *,
    clip_alone: bool = False,
) -> dict[str, Any]:
    """``top1``, ``top5``, ``chance`` and ``n_clips`` of :func:`ideal_observer`, as the evaluation counts them."""
    first, target = metrics.distinct_clips(stored.content[starts[:, None] + np.arange(n_frames)])
    distance = -ideal_observer(stored, truth, starts, n_frames, lag, clip_alone=clip_alone)
    return {
        "top1": metrics.top_k(distance, target, 1),
        "top5": metrics.top_k(distance, target, 5),
        "chance": 1.0 / len(first),
        "n_clips": len(first),
    }


def ideal_observer(
    stored: StoredSession,
    truth: Truth,
    starts: npt.NDArray[np.int64],
    n_frames: int,
    lag: float,
    *,
    clip_alone: bool = False,
) -> FloatArray:
    """Log likelihood of the activity of Q clips under each of the M different things that they show.

    Activity is Gaussian given the clip: its mean is the calcium of the true rates at their average gain; its covariance
    is that of the noise (measured: what the true spikes leave unexplained), of the number of spikes (a Poisson number,
    correlated in time by the indicator), and of the gain, which all cells share through the private factors (to first
    order, of low rank).

    Parameters
    ----------
    stored : StoredSession
        A simulated session, its frames regular.
    truth : mapping of str to ndarray
        Its truth (:data:`~nwb_mivae.simulation.TRUTH_KEYS`).
    starts : ndarray of int64, (Q,)
        Rows at which the clips start.
    n_frames : int
        Of a clip.
    lag : float
        By which alignment took activity later than frames: ``stored.report["lag"]``.
    clip_alone : bool
        Know rates during the candidate's own frames only. What frames before and after it did to calcium is then one
        more Gaussian, with the mean and the leading covariance that it has over the session's clips.

    Returns
    -------
    ndarray of float64, (Q, M)
        Candidates in the order of :func:`nwb_mivae.evaluation.metrics.distinct_clips`.
    """
    rows = starts[:, None] + np.arange(n_frames)
    first, _ = metrics.distinct_clips(stored.content[rows])
    cells = _cells(stored, truth, rows, rows[first], lag, clip_alone)
    around = _leading(cells.around)
    spikes = _correlation_of_spikes(n_frames, stored.frame_rate)
    lags = np.abs(np.arange(n_frames)[:, None] - np.arange(n_frames))
    noise = cells.noise[lags].transpose(2, 0, 1)
    ways = _ways_of_factors(truth["factors"], n_frames)
    observed = cells.observed.transpose(2, 1, 0)
    likelihood = np.empty((len(starts), len(first)))
    for candidate, (expected, of_spikes) in enumerate(zip(cells.expected, cells.spikes, strict=True)):
        covariance = of_spikes.mean(axis=0)[:, None, None] * spikes[lags] + noise
        precision = np.linalg.inv(covariance)
        residual = observed - expected.T[:, :, None]
        weighted = precision @ residual
        distance = np.einsum("ntq,ntq->q", residual, weighted)
        # What private factors do to this candidate's calcium, to first order; Woodbury's identity takes it in.
        gain = expected.T[:, :, None] * np.einsum("pn,tpc->ntc", cells.loadings, ways)
        gain = np.concatenate([gain, around], axis=2)
        flat = gain.reshape(-1, gain.shape[2])
        inner = np.eye(flat.shape[1]) + flat.T @ (precision @ gain).reshape(flat.shape)
        along = weighted.reshape(-1, len(starts)).T @ flat
        distance -= np.einsum("qc,qc->q", along, np.linalg.solve(inner, along.T).T)
        volume = np.linalg.slogdet(covariance)[1].sum() + np.linalg.slogdet(inner)[1]
        likelihood[:, candidate] = -0.5 * (distance + volume)
    return likelihood


class _Cells(NamedTuple):
    """What there is to know of N cells.

    ``observed`` (Q, T, N) activity, less what is known of frames around the clip; ``expected`` (M, T, N), and the
    variance by ``spikes`` (M, T, N), of each candidate; autocovariance of the ``noise`` (T, N); what frames ``around``
    clips did, for S clips of the session, less its mean (S, T, N), S being 0 where that is known; ``loadings``
    (factors, N).
    """

    observed: FloatArray
    expected: FloatArray
    spikes: FloatArray
    noise: FloatArray
    around: FloatArray
    loadings: FloatArray


def _cells(
    stored: StoredSession,
    truth: Truth,
    rows: npt.NDArray[np.int64],
    shown: npt.NDArray[np.int64],
    lag: float,
    clip_alone: bool,
) -> _Cells:
    of_cell = stored.cells["source_row"].to_numpy()
    parts = [
        _some_cells(stored, truth, columns, of_cell[columns], rows, shown, lag, clip_alone)
        for columns in np.array_split(np.arange(stored.n_cells), -(-stored.n_cells // _CELLS_AT_ONCE))
    ]
    return _Cells(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _some_cells(
    stored: StoredSession,
    truth: Truth,
    columns: npt.NDArray[np.int64],
    cells: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    shown: npt.NDArray[np.int64],
    lag: float,
    clip_alone: bool,
) -> _Cells:
    rate, n_frames = stored.frame_rate, rows.shape[1]
    place = np.searchsorted(truth["frame_time"], stored.time + 1e-4, side="right") - 1
    activity = stored.neural[:, columns].astype(np.float64)
    loadings = truth["loadings"][cells]
    modulated = np.where(
        truth["cell_type"][cells] == "not_visual",
        1.0,
        _BASELINE_SHARE + (1.0 - _BASELINE_SHARE) * truth["drive"][:, cells].astype(np.float64),
    )
    gain = np.exp(truth["factors"] @ loadings.T).mean(axis=0)
    rates = np.minimum(truth["mean_rate"][cells] * modulated * gain, _HIGHEST_RATE)

    # The size of a spike is not in the truth, but the true spikes are, and what they leave unexplained is noise.
    calcium = as_seen_by_indicator(_spikes_per_second(truth, cells), rate, lag)[place]
    known = stored.valid
    size = (calcium[known] * activity[known]).sum(axis=0) / np.maximum((calcium[known] ** 2).sum(axis=0), 1e-12)
    residual = np.where(known[:, None], activity - calcium * size, 0.0)
    pairs = [known[: len(known) - apart] & known[apart:] for apart in range(n_frames)]
    noise = [(residual[: len(known) - apart] * residual[apart:])[pair].mean(axis=0) for apart, pair in enumerate(pairs)]
    # A floor, so that a cell without noise does not decide alone.
    noise[0] = noise[0] + 1e-6

    wanted, queried = place[shown], place[rows]
    expected, spikes = (as_seen_by_indicator(rates, rate, lag, power=power) for power in (1, 2))
    anywhere = np.linspace(0, len(rates) - n_frames, _CLIPS_ANYWHERE).astype(np.int64)[:, None] + np.arange(n_frames)
    outside = expected[anywhere] - within_clips(rates[anywhere], rate, lag)
    usual = outside.mean(axis=0)
    around = (outside - usual) * size / np.sqrt(len(outside))
    observed = activity[rows]
    if not clip_alone:
        # Known is what was on the screen around the very clip whose activity this is, whichever clip it was.
        observed = observed - (expected[queried] - within_clips(rates[queried], rate, lag) - usual) * size
        around = around[:0]
    by_outside = (spikes[anywhere] - within_clips(rates[anywhere], rate, lag, power=2)).mean(axis=0)
    return _Cells(
        observed=observed,
        expected=(within_clips(rates[wanted], rate, lag) + usual) * size,
        spikes=(within_clips(rates[wanted], rate, lag, power=2) + by_outside) * size**2,
        noise=np.stack(noise),
        around=around,
        loadings=loadings.T,
    )


def _leading(samples: FloatArray) -> FloatArray:
    """Leading ways (N, T, ways) in which samples (S, T, N) vary together, in standard deviations."""
    if not len(samples):
        return np.empty((samples.shape[2], samples.shape[1], 0))
    flat = samples.transpose(0, 2, 1).reshape(len(samples), -1)
    variance, direction = np.linalg.eigh(flat @ flat.T)
    kept = variance > _LEAST_SHARE * variance.sum()
    return np.asarray((flat.T @ direction[:, kept]).reshape(samples.shape[2], samples.shape[1], -1))


def _spikes_per_second(truth: Truth, cells: npt.NDArray[np.int64]) -> FloatArray:
    edges = np.append(truth["frame_time"], truth["frame_stop_time"][-1])
    trains = np.split(truth["spike_times"], truth["spike_ends"][:-1])
    counts = np.stack([np.histogram(trains[cell], bins=edges)[0] for cell in cells], axis=1)
    return np.asarray(counts / np.diff(edges)[:, None])


def _correlation_of_spikes(n_frames: int, frame_rate: float) -> FloatArray:
    """Correlation (T,) between samples so many frames apart that the same spikes cause."""
    time = np.arange(0.0, 6.0, 0.002)
    overlap = np.array([(kernel(time) * kernel(time + apart / frame_rate)).sum() for apart in range(n_frames)])
    return np.asarray(overlap / overlap[0])


def _ways_of_factors(factors: FloatArray, n_frames: int) -> FloatArray:
    """Ways (T, factors, ways) in which private factors vary within and between clips, in standard deviations."""
    centred = factors - factors.mean(axis=0)
    windows = np.stack([centred[start : start + n_frames].ravel() for start in range(0, len(centred) - n_frames, 7)])
    variance, direction = np.linalg.eigh(np.cov(windows.T))
    kept = variance > _LEAST_SHARE * variance.sum()
    return np.asarray((direction[:, kept] * np.sqrt(variance[kept])).reshape(n_frames, factors.shape[1], -1))
