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

    from nwb_mivae.model import MiVAEModule

    Progress = Callable[[str, int, int], None]

__all__ = ["fit_closed_form"]

#: Frames of all sessions together that principal components, and that regressions, are computed from at most.
_FRAMES_OF_COMPONENTS = 8192
_FRAMES_OF_REGRESSION = 131_072
_CLIPS_AT_ONCE = 64


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
    and what is beyond ``episodes.training_clips`` are not looked at. A module without a front end stays as it is.
    """
    front_end, cortical_map = module.front_end, module.cortical_map
    if front_end is None:
        return
    starts = {key: _training_clips(store, split, key, episodes) for key in split.train_sessions}
    starts = {key: found for key, found in starts.items() if len(found)}
    front_end.fit_components(
        torch.cat(
            [
                load_clips(store, split, key, some, n_frames=episodes.clip_frames).stimulus
                for key, some in _fewer(starts, _FRAMES_OF_COMPONENTS // episodes.clip_frames).items()
            ]
        )
    )
    starts = _fewer(starts, _FRAMES_OF_REGRESSION // episodes.clip_frames)
    if cortical_map is not None:
        cortical_map.cover([torch.from_numpy(np.array(store.sessions[key].coordinates)) for key in starts])
    from_map = RegressionSums()
    total, done = sum(map(len, starts.values())), 0

    def sessions() -> Iterator[RegressionSums]:
        nonlocal done
        for key, clips in starts.items():
            encoding = RegressionSums()
            statistics = split.statistics(key)
            mean, scale = (torch.from_numpy(each) for each in (statistics.mean, statistics.scale))
            for first in range(0, len(clips), _CLIPS_AT_ONCE):
                some = clips[first : first + _CLIPS_AT_ONCE]
                batch = load_clips(store, split, key, some, n_frames=episodes.clip_frames)
                description = front_end.describe(batch.stimulus)
                # Counts come as counts; the cells of all animals should weigh the same here.
                counts = store.sessions[key].trace_kind == "spikes"
                encoding.add(description, (batch.neural - mean) / scale if counts else batch.neural)
                if cortical_map is not None:
                    from_map.add(cortical_map.averages(batch.neural, batch.coordinates), description)
                done += len(some)
                if progress is not None:
                    progress("closed form", done, total)
            yield encoding

    basis = population_basis(sessions(), module.configuration.stimulus_features)
    front_end.take_basis(basis)
    if cortical_map is not None:
        cortical_map.fit(from_map, basis)
    module.begin_with_closed_form()


def _training_clips(
    store: ClipStore, split: Split, session: str, episodes: EpisodeConfiguration
) -> npt.NDArray[np.int64]:
    frames = episodes.clip_frames
    every = split.clip_starts(store.sessions[session], "train", n_frames=frames, stride=frames)
    return first_clips(every, episodes.training_clips, frames)


def _fewer(starts: dict[str, npt.NDArray[np.int64]], total: int) -> dict[str, npt.NDArray[np.int64]]:
    """At most about so many clips in all, the same number of every session and at least one, evenly over time."""
    per_session = max(1, total // max(1, len(starts)))
    return {key: evenly(every, per_session) for key, every in starts.items()}
