from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nwb_mivae.annotation.sparse_frames import SparseFrames


@settings(max_examples=60, deadline=None)
@given(n_frames=st.integers(1, 40), chunk=st.integers(1, 40), gaps=st.booleans(), data=st.data())
def test_the_pieces_make_the_whole(n_frames: int, chunk: int, gaps: bool, data: st.DataObject):
    frames = np.array(sorted(data.draw(st.sets(st.integers(0, n_frames - 1), min_size=1))))
    values = np.random.default_rng(0).normal(size=(len(frames), 3, 2)).astype(np.float32)
    whole = np.full((n_frames, 3, 2), np.nan if gaps else 0, np.float32)
    for piece in SparseFrames(values, frames, n_frames, chunk_frames=min(chunk, n_frames), gaps=gaps):
        assert piece.data.dtype == np.float32
        assert not gaps or not np.isnan(piece.data).all(), "chunks of nothing are left out"
        whole[piece.selection] = piece.data
    np.testing.assert_array_equal(whole[frames], values)
    assert np.isnan(np.delete(whole, frames, axis=0)).all()
