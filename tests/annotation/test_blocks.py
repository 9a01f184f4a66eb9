from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.annotation.blocks import grown_block

AXES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40)), min_size=1, max_size=4)


@given(axes=AXES, values=st.integers(0, 5000))
def test_a_block_is_whole_chunks_that_lie_side_by_side(axes: list[tuple[int, int]], values: int) -> None:
    block, shape = tuple(part for part, _ in axes), tuple(size for _, size in axes)
    least = [min(part, max(1, size)) for part, size in axes]
    found = grown_block(block, shape, values)
    assert math.prod(found) <= max(values, math.prod(least))
    for size, part, whole in zip(found, least, shape, strict=True):
        assert size == max(1, whole) or size % part == 0
    # Where it does not go through an axis, it goes no further than one chunk along those before.
    cut = [axis for axis, (size, whole) in enumerate(zip(found, shape, strict=True)) if size < whole]
    if cut:
        assert all(found[axis] == least[axis] for axis in range(cut[-1]))
