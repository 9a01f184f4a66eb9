"""An animal's context in one streaming pass over its own recording; no gradient step, no parameter of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nwb_mivae.clips import evenly, load_clips
from nwb_mivae.model import Context

if TYPE_CHECKING:
    from nwb_mivae.clips import ClipStore, Split
    from nwb_mivae.model import MiVAEModule

__all__ = ["session_context"]


@torch.no_grad()
def session_context(
    module: MiVAEModule,
    store: ClipStore,
    split: Split,
    session: str,
    *,
    clips: int | None = None,
    from_start: bool = False,
    batch_clips: int = 64,
) -> Context | None:
    """What a session's own training part says about its neurons.

    Works alike for animals the model was trained on and for animals it never saw; test and validation content is
    never looked at.

    Parameters
    ----------
    module : MiVAEModule
        The trained module; it is left in the mode it was in.
    store, split : ClipStore, Split
        Where the session lies, and what is held out.
    session : str
        Key of the session.
    clips : int, optional
        Use only this many clips, taken evenly over the recording; all of them by default.
    from_start : bool
        Take the first ``clips`` instead: what a recording would have given that ended then.
    batch_clips : int
        Clips held in memory at once.

    Returns
    -------
    Context or None
        None where the design uses no context, ``clips`` is 0, or the session shows nothing of the training part.
    """
    if not module.uses_context:
        return None
    frames = module.shape.clip_frames
    starts = split.clip_starts(store.sessions[session], "train", n_frames=frames, stride=frames)
    starts = starts[:clips] if from_start else evenly(starts, clips)
    if len(starts) == 0:
        return None
    device = next(module.parameters()).device
    sums = module.context_builder.sums(store.sessions[session].n_cells, len(starts) * frames)
    for first in range(0, len(starts), batch_clips):
        batch = load_clips(store, split, session, starts[first : first + batch_clips], n_frames=frames).to(device)
        sums.add(batch.neural, module.stimulus_features(batch.stimulus))
    context: Context = module.context_builder(sums)
    return context
