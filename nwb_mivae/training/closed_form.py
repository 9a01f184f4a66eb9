"""What a module knows before its first gradient step: bases and read-outs that follow from data in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from nwb_mivae.clips import ClipStore, EpisodeConfiguration, Split, evenly, first_clips, load_clips
from nwb_mivae.model.population_basis import population_basis
from nwb_mivae.model.regression import RegressionSums

if TYPE_CHECKING:
    import numpy.typing as npt

    from nwb_mivae.clips import ClipBatch
    from nwb_mivae.model import MiVAEModule

    Progress = Callable[[str, int, int], None]

__all__ = ["fit_closed_form"]

#: Frames of all sessions together that principal components are computed from, and of each session that regressions
#: are, at most.
_FRAMES_OF_COMPONENTS = 8192
_FRAMES_OF_REGRESSION = 16_384
_CLIPS_AT_ONCE = 32


@torch.no_grad()
def fit_closed_form(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    episodes: EpisodeConfiguration,
    *,
    progress: Progress | None = None,
) -> None:
    """Fit the fixed parts of a module to the training part of the training sessions, and begin with what they say.

    The visual front end takes its principal components from the frames and its basis from what the cells of all
    training animals carry of them; the cortical map takes its read-out. Held-out animals, validation and test clips,
    and what is beyond ``episodes.training_clips`` are not looked at; mean and scale of cells are those of the split,
    over the whole training part. A module without a front end stays as it is.
    """
    front_end, cortical_map = module.front_end, module.cortical_map
    starts = {key: _training_clips(store, split, key, episodes) for key in split.train_sessions}
    starts = {key: found for key, found in starts.items() if len(found)}
    if front_end is None or not starts:
        return
    if module.shape.trace_kind == "spikes":
        cortical_map = None
    of_components = max(1, _FRAMES_OF_COMPONENTS // episodes.clip_frames // len(starts))
    front_end.fit_components(
        batch.stimulus
        for key, every in starts.items()
        for batch in _batches(store, split, key, evenly(every, of_components), episodes)
    )
    of_regression = max(2, _FRAMES_OF_REGRESSION // episodes.clip_frames)
    starts = {key: evenly(every, of_regression) for key, every in starts.items()}
    if cortical_map is not None:
        cortical_map.cover([torch.from_numpy(np.array(store.sessions[key].coordinates)) for key in starts])
    from_map = RegressionSums()
    total, done = sum(map(len, starts.values())), 0

    def sessions() -> Iterator[tuple[RegressionSums, RegressionSums]]:
        nonlocal done
        for key, clips in starts.items():
            encoding = []
            # Halves in time: neighbouring clips share slow noise. A single clip is both.
            middle = len(clips) // 2
            for half in (clips[:middle], clips[middle:]) if middle else (clips, clips):
                sums = RegressionSums()
                for batch in _batches(store, split, key, half, episodes):
                    description = front_end.describe(batch.stimulus)
                    sums.add(description, batch.neural)
                    if cortical_map is not None:
                        from_map.add(cortical_map.averages(batch.neural, batch.coordinates), description)
                    done += batch.n_clips
                    if progress is not None:
                        progress("closed form", min(done, total), total)
                encoding.append(sums)
            yield encoding[0], encoding[1]

    basis = population_basis(sessions(), module.configuration.stimulus_features)
    front_end.take_basis(basis)
    if cortical_map is not None:
        cortical_map.fit(from_map, basis)
    module.begin_with_closed_form()


def _batches(
    store: ClipStore, split: Split, session: str, starts: npt.NDArray[np.int64], episodes: EpisodeConfiguration
) -> Iterator[ClipBatch]:
    for first in range(0, len(starts), _CLIPS_AT_ONCE):
        yield load_clips(store, split, session, starts[first : first + _CLIPS_AT_ONCE], n_frames=episodes.clip_frames)


def _training_clips(
    store: ClipStore, split: Split, session: str, episodes: EpisodeConfiguration
) -> npt.NDArray[np.int64]:
    """Clips that do not overlap and end before the last that training may draw does."""
    stored, frames = store.sessions[session], episodes.clip_frames
    drawn = first_clips(split.clip_starts(stored, "train", n_frames=frames), episodes.training_clips, frames)
    every = split.clip_starts(stored, "train", n_frames=frames, stride=frames)
    return every[every <= drawn.max()] if len(drawn) else drawn
