"""What all figures have in common: width, fonts, colours, and how a scale is chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

__all__ = ["COLOURS", "NO_GROUP", "WIDTH", "FloatArray", "group_colour", "largest", "styled"]

FloatArray = npt.NDArray[np.floating[Any]]
Parameters = ParamSpec("Parameters")

#: Inches. Narrow, with panels below one another, so that a phone can show the figures.
WIDTH = 5.4

#: Okabe and Ito's colours, which colour-blind readers can tell apart; yellow, the faintest on white, late.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
#: Of cells that belong to no group.
NO_GROUP = "#AAAAAA"

_STYLE = {
    # Names come from files: a dollar sign in one must not start mathematics.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw in the report's style, and leave the settings of matplotlib as they were."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def group_colour(group: int) -> str:
    """Colour of a group of cells; those beyond the eighth begin anew, those below 0 are no group and grey."""
    return NO_GROUP if group < 0 else COLOURS[group % len(COLOURS)]


def largest(values: FloatArray, percentile: float = 100.0) -> float:
    """A percentile of the magnitude of known values, the end of a scale; above 0 also where there is none.

    Zeros do not count, or a scale for a map of a few spots would end at nothing.
    """
    magnitude = np.abs(values[np.isfinite(values) & (values != 0)])
    return max(float(np.percentile(magnitude, percentile)), 1e-12) if magnitude.size else 1e-12
