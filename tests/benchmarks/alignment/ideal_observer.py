"""The ideal observer: which clip was shown, by Bayes' rule from the true rates and the true noise.

No decoder of the same activity can be right more often on average, so retrieval is given as a fraction of it. It knows
what no model is told: the rates of every cell to every candidate, with all that was on the screen before the clip; the
indicator; each cell's noise; and how the private factors change gains. What it does not know is the private factors
themselves: they are marginalised, with the covariance that they have over the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nwb_mivae.evaluation import metrics
from tests.benchmarks.alignment.indicator import as_seen_by_indicator, kernel

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["ideal_figures", "ideal_observer"]

FloatArray = npt.NDArray[np.float64]
Truth = Mapping[str, npt.NDArray[Any]]

#: As in the simulator: share of a visual cell's mean rate that it fires without a stimulus, and the highest rate, Hz.
_BASELINE_SHARE = 0.08
_HIGHEST_RATE = 60.0
#: Cells whose whole recording is in memory at once.
_CELLS_AT_ONCE = 256
#: Share of the private factors' variance within a clip below which a way in which they vary is left out.
_LEAST_SHARE = 1e-3


def ideal_figures(
    stored: StoredSession, truth: Truth, starts: npt.NDArray[np.int64], n_frames: int, lag: float
) -> dict[str, Any]:
    """``top1``, ``top5``, ``chance`` and ``n_clips`` of :func:`ideal_observer`, as the evaluation counts them."""
    first, target = metrics.distinct_clips(stored.content[starts[:, None] + np.arange(n_frames)])
    distance = -ideal_observer(stored, truth, starts, n_frames, lag)
    return {
        "top1": metrics.top_k(distance, target, 1),
        "top5": metrics.top_k(distance, target, 5),
        "chance": 1.0 / len(first),
        "n_clips": len(first),
    }


def ideal_observer(
    stored: StoredSession, truth: Truth, starts: npt.NDArray[np.int64], n_frames: int, lag: float
) -> FloatArray:
    """Log likelihood of the activity of Q clips under each of the M different things that they show.

    Activity is Gaussian given the clip: its mean is the calcium of the true rates at their average gain; its covariance
    is that of the noise (measured: what the true spikes leave unexplained), of the number of spikes (a Poisson number,
    correlated in time by the indicator), and of the gain, which all cells share through the private factors (to first
    order, of low rank). Rates before the clip are those of its first showing.

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

    Returns
    -------
    ndarray of float64, (Q, M)
        Candidates in the order of :func:`nwb_mivae.evaluation.metrics.distinct_clips`.
    """
    rows = starts[:, None] + np.arange(n_frames)
    first, _ = metrics.distinct_clips(stored.content[rows])
    cells = _cells(stored, truth, rows, rows[first], lag)
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
        gain = expected.T[:, :, None] * np.einsum("np,tpc->ntc", cells.loadings, ways)
        flat = gain.reshape(-1, gain.shape[2])
        inner = np.eye(flat.shape[1]) + flat.T @ (precision @ gain).reshape(flat.shape)
        along = weighted.reshape(-1, len(starts)).T @ flat
        distance -= np.einsum("qc,qc->q", along, np.linalg.solve(inner, along.T).T)
        volume = np.linalg.slogdet(covariance)[1].sum() + np.linalg.slogdet(inner)[1]
        likelihood[:, candidate] = -0.5 * (distance + volume)
    return likelihood


class _Cells(NamedTuple):
    """What there is to know of N cells: ``observed`` (Q, T, N) activity; ``expected`` (M, T, N) and the variance by
    ``spikes`` (M, T, N) of each candidate; autocovariance of the ``noise`` (T, N); ``loadings`` (N, factors).
    """

    observed: FloatArray
    expected: FloatArray
    spikes: FloatArray
    noise: FloatArray
    loadings: FloatArray


def _cells(
    stored: StoredSession, truth: Truth, rows: npt.NDArray[np.int64], shown: npt.NDArray[np.int64], lag: float
) -> _Cells:
    place = np.searchsorted(truth["frame_time"], stored.time + 1e-4, side="right") - 1
    of_cell = stored.cells["source_row"].to_numpy()
    parts = [
        _some_cells(stored, truth, columns, of_cell[columns], place, rows, shown, lag)
        for columns in np.array_split(np.arange(stored.n_cells), -(-stored.n_cells // _CELLS_AT_ONCE))
    ]
    return _Cells(
        *(
            np.concatenate(each, axis=0 if each[0].ndim == 2 and name == "loadings" else -1)
            for name, each in zip(_Cells._fields, zip(*parts, strict=True), strict=True)
        )
    )


def _some_cells(
    stored: StoredSession,
    truth: Truth,
    columns: npt.NDArray[np.int64],
    cells: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    shown: npt.NDArray[np.int64],
    lag: float,
) -> _Cells:
    rate = stored.frame_rate
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
    pairs = [known[: len(known) - d] & known[d:] for d in range(rows.shape[1])]
    noise = [(residual[: len(known) - d] * residual[d:])[pair].mean(axis=0) for d, pair in enumerate(pairs)]
    # A floor, so that a cell without noise does not decide alone.
    noise[0] = noise[0] + 1e-6
    wanted = place[shown]
    return _Cells(
        observed=activity[rows],
        expected=as_seen_by_indicator(rates, rate, lag)[wanted] * size,
        spikes=as_seen_by_indicator(rates, rate, lag, power=2)[wanted] * size**2,
        noise=np.stack(noise),
        loadings=loadings,
    )


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
