"""How large arrays are cut into blocks: as they lie on the disk, so that each part of them is read once."""

from __future__ import annotations

import math

__all__ = ["grown_block"]


def grown_block(block: tuple[int, ...], shape: tuple[int, ...], values: int) -> tuple[int, ...]:
    """The largest block of at most so many values that is this one repeated, along the last axes first.

    Along each axis it is a multiple of ``block``, or the whole axis; at least 1 along an axis without any length. It
    is never smaller than ``block``, however few ``values`` are.

    >>> grown_block((1, 1, 1), (1000, 20, 30), 3000)
    (5, 20, 30)
    """
    whole = [max(1, size) for size in shape]
    grown = [min(part, size) for part, size in zip(block, whole, strict=True)]
    for axis in reversed(range(len(whole))):
        times = max(1, values // math.prod(grown))
        grown[axis] = min(whole[axis], grown[axis] * times)
        if grown[axis] < whole[axis]:
            break
    return tuple(grown)
