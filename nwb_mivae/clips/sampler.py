"""Clips as tensors, and the episodes of a training step as a pure function of seed and step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nwb_mivae.clips.batch import ClipBatch, Episode
from nwb_mivae.clips.configuration import EpisodeConfiguration
from nwb_mivae.clips.split import Split
from nwb_mivae.clips.store import ClipStore, StoredSession
from nwb_mivae.errors import StoreError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EpisodeSampler", "first_clips", "load_clips"]


def load_clips(
    store: ClipStore,
    split: Split,
    session_key: str,
    starts: npt.ArrayLike,
    *,
    n_frames: int,
    cells: npt.NDArray[np.int64] | None = None,
) -> ClipBatch:
    """Clips of one session, standardised with the statistics of its training part, as CPU tensors.

    Parameters
    ----------
    store, split : ClipStore, Split
        The store and a split made for it.
    session_key : str
        Which session.
    starts : array-like of int, (B,)
        Rows of the clips' first frames (``Split.clip_starts``).
    n_frames : int
        Frames of a clip, T.
    cells : ndarray of int64, optional
        Columns of the cells to load; all by default.

    Raises
    ------
    StoreError
        If there is no such session or a clip would reach beyond its end.
    """
    import torch

    split.check(store)
    if session_key not in store.sessions:
        raise StoreError(
            f"no session {session_key!r}",
            expected=f"one of {', '.join(store.sessions)}",
            remedy="correct the key",
            file=store.path,
        )
    session = store.sessions[session_key]
    first = np.atleast_1d(np.asarray(starts, dtype=np.int64))
    if len(first) and (first.min() < 0 or first.max() + n_frames > session.n_frames):
        raise StoreError(
            f"clips of {n_frames} frames from row {int(first.min())} to {int(first.max())}",
            expected=f"rows 0 to {session.n_frames - n_frames}",
            remedy="take starts from Split.clip_starts",
            file=session.folder,
        )
    rows = (first[:, None] + np.arange(n_frames)).reshape(-1)
    shape = (len(first), n_frames)
    statistics = split.statistics(session_key)
    neural = _gathered(session.neural, rows)
    mean, scale, coordinates = statistics.mean, statistics.scale, session.coordinates
    if cells is not None:
        neural, mean, scale, coordinates = neural[:, cells], mean[cells], scale[cells], coordinates[cells]
    activity = torch.from_numpy(neural).float()
    if session.trace_kind != "spikes":
        activity = activity.sub_(torch.from_numpy(mean)).div_(torch.from_numpy(scale))
    auxiliary = (session.auxiliary[rows] - statistics.auxiliary_mean) / statistics.auxiliary_scale
    content = session.content[rows]
    return ClipBatch(
        session=session_key,
        neural=activity.reshape(*shape, activity.shape[1]),
        stimulus=_luminance(store, session, rows).reshape(*shape, 1, store.height, store.width),
        auxiliary=torch.from_numpy(auxiliary.astype(np.float32)).reshape(*shape, auxiliary.shape[1]),
        coordinates=torch.from_numpy(np.array(coordinates, dtype=np.float32)),
        content=torch.from_numpy(content).reshape(shape),
        start=torch.from_numpy(first.copy()),
    )


def _gathered(array: npt.NDArray[np.generic], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
    return array.take(rows, axis=0)


def _luminance(store: ClipStore, session: StoredSession, rows: npt.NDArray[np.int64]) -> Tensor:
    import torch

    pixels = torch.from_numpy(_gathered(store.stimulus, session.stimulus_row[rows]))
    return pixels.to(torch.float32).mul_(1.0 / 255.0)


class EpisodeSampler:
    """Draws the episodes of a training step from the training part of the training sessions.

    Context and targets of an episode are disjoint in time, and (for splits by content) no context frame shows what a
    target shows. The draw depends on seed and step alone, so that resuming needs no state, and that the processes of a
    distributed run draw different episodes by different seeds.

    Parameters
    ----------
    store, split : ClipStore, Split
        The store and a split made for it.
    configuration : EpisodeConfiguration
        Sizes of what is drawn.
    seed : int
        Of all draws.

    Raises
    ------
    StoreError
        If a training session has no training clip of that length.
    """

    def __init__(
        self, store: ClipStore, split: Split, configuration: EpisodeConfiguration | None = None, *, seed: int
    ) -> None:
        split.check(store)
        self.configuration = EpisodeConfiguration() if configuration is None else configuration
        self._store = store
        self._split = split
        self._seed = seed
        n_frames = self.configuration.clip_frames
        self._starts = {
            key: first_clips(
                split.clip_starts(store.sessions[key], "train", n_frames=n_frames),
                self.configuration.training_clips,
                n_frames,
            )
            for key in split.train_sessions
        }
        for key, starts in self._starts.items():
            if not len(starts):
                raise split.no_clips(store.sessions[key], "train", n_frames)

    def draw(self, step: int) -> list[Episode]:
        """The episodes of one step, one per session drawn."""
        random = np.random.default_rng([self._seed, step])
        sessions = list(self._starts)
        count = min(self.configuration.sessions_per_step, len(sessions))
        drawn = random.choice(len(sessions), size=count, replace=False)
        return [self._episode(sessions[index], random) for index in drawn]

    def _episode(self, key: str, random: np.random.Generator) -> Episode:
        configuration = self.configuration
        session = self._store.sessions[key]
        targets = _spread(random, self._starts[key], configuration.clips_per_session, configuration.clip_frames)
        context = np.empty(0, dtype=np.int64)
        if configuration.context_clips and random.random() >= configuration.context_dropout:
            candidates = self._away_from(session, targets, self._starts[key])
            context = _spread(random, candidates, configuration.context_clips, configuration.clip_frames)
        cells = None
        if configuration.cells_per_session is not None and configuration.cells_per_session < session.n_cells:
            cells = np.sort(random.choice(session.n_cells, size=configuration.cells_per_session, replace=False))
        both = load_clips(
            self._store,
            self._split,
            key,
            np.concatenate([targets, context]),
            n_frames=configuration.clip_frames,
            cells=cells,
        )
        return Episode(_between(both, 0, len(targets)), _between(both, len(targets), None) if len(context) else None)

    def _away_from(
        self, session: StoredSession, targets: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Those starts whose clips overlap no target in time and show nothing that a target shows."""
        n_frames = self.configuration.clip_frames
        rows = (targets[:, None] + np.arange(n_frames)).reshape(-1)
        taken = np.zeros(session.n_frames, dtype=bool)
        if self._split.content_disjoint:
            shown = np.zeros(self._store.n_content, dtype=bool)
            shown[session.content[rows]] = True
            shown &= ~self._store.blank_content
            taken = shown[session.content]
        taken[rows] = True
        total = np.r_[0, np.cumsum(taken)]
        free: npt.NDArray[np.int64] = starts[total[starts + n_frames] == total[starts]]
        return free


def first_clips(starts: npt.NDArray[np.int64], count: int | None, n_frames: int) -> npt.NDArray[np.int64]:
    """Those starts whose clips lie within the first frames that ``count`` clips need, in order of time."""
    if count is None or not len(starts):
        return starts
    # Frames that some clip covers, counted: gaps and other parts in between take up none of them.
    new = np.minimum(np.diff(starts, prepend=starts[0] - n_frames), n_frames)
    return starts[np.cumsum(new) <= count * n_frames]


def _between(batch: ClipBatch, start: int, stop: int | None) -> ClipBatch:
    """Consecutive clips of a batch, without copying."""
    return replace(
        batch,
        neural=batch.neural[start:stop],
        stimulus=batch.stimulus[start:stop],
        auxiliary=batch.auxiliary[start:stop],
        content=batch.content[start:stop],
        start=batch.start[start:stop],
    )


def _spread(
    random: np.random.Generator, candidates: npt.NDArray[np.int64], count: int, n_frames: int
) -> npt.NDArray[np.int64]:
    """So many of the candidates (all, where there are fewer), not overlapping each other as far as that is possible."""
    phase = random.integers(n_frames)
    on_grid = candidates % n_frames == phase
    apart, rest = candidates[on_grid], candidates[~on_grid]
    drawn = random.permutation(apart)[:count]
    more = random.choice(len(rest), size=min(count - len(drawn), len(rest)), replace=False)
    return np.concatenate([drawn, rest[more]])
