"""One seed, split per use, so that what one part draws never changes what another part draws."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Use", "generator"]


class Use(IntEnum):
    """What random numbers are drawn for. The numbers are part of what a seed means: never renumber."""

    SHARED_MOVIE = 0
    OWN_MOVIE = 1
    SCHEDULE = 2
    DISPLAY = 3
    POPULATION = 4
    BEHAVIOUR = 5
    SPIKES = 6
    IMAGING = 7


def generator(seed: int, use: Use, *numbers: int) -> np.random.Generator:
    """The random generator of one use; ``numbers`` tell animals or movies of that use apart."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(use), *numbers)))
