"""Figures as the pixels a reader sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

DPI = 100


def pixels(figure: Figure) -> np.ndarray:
    """Red, green and blue from 0 to 1, (height, width, 3), row 0 at the top."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def at(figure: Figure, panel: Any, x: float, y: float) -> np.ndarray:
    """Colour at a place of a panel, in the panel's own coordinates."""
    seen = pixels(figure)
    column, row = panel.transData.transform((x, y))
    return seen[len(seen) - 1 - int(row), int(column)]


def has_colour(seen: np.ndarray, colour: str, tolerance: float = 0.03) -> int:
    """How many pixels have this colour."""
    return int((np.abs(seen - to_rgb(colour)).max(axis=-1) < tolerance).sum())


def texts(figure: Figure) -> str:
    """All that is written in a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def inside(figure: Figure) -> bool:
    """Whether everything that is drawn lies within the figure."""
    pixels(figure)
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02
