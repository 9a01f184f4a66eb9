"""The screen that stimuli without pixels are drawn for: its size as the animal saw it, and what a degree is on it.

Stimulus programs draw into a flat frame buffer, and say positions, sizes and frequencies in degrees. Between buffer and
eye stands one of two geometries:

``spherical``
    The program bent its picture so that a flat monitor close to the eye looks like a sphere around it. A degree in the
    buffer is a degree of visual angle: the distance of a point from the picture's centre is its angle from the point of
    the screen nearest the eye, in every direction (azimuthal equidistant map; PsychoPy ``windowwarp.Warper`` with
    ``warp="spherical"``, the same formula in AllenSDK ``stimulus_info.warp_stimulus_coords``).
``flat``
    Nothing was corrected. A degree is as many centimetres everywhere as at the centre (PsychoPy unit ``deg``), so that
    it is less than a degree of visual angle towards the edge.

In both, the buffer is linear in the program's degrees, and so is what is drawn here: the picture before any bending, as
the movies and images of such a session are stored. Coordinates are degrees from the picture's centre, x to the right
and y upwards.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nwb_mivae.configuration import Configuration

__all__ = ["Screen"]


class Screen(Configuration):
    """A monitor before an eye, and the grid of pixels that is drawn for it.

    The defaults are those of the Allen Institute's visual coding rigs, the ones most files without pixels come from:
    24-inch ASUS PA248Q, 1920 x 1200 pixels, 15 cm from the eye, spherically corrected, 127 as mean luminance (AllenSDK
    ``brain_observatory/stimulus_info.py``: ``MONITOR_DISTANCE``, ``BrainObservatoryMonitor``, ``STIMULUS_GRAY``). Its
    picture spans 120 x 95 degrees, as the natural scenes of dandiset 000728 do (1174 x 918 of its pixels).

    Luminance is taken to be proportional to the number of a pixel (a display with corrected gamma).
    """

    width_pixels: int = Field(128, ge=4, le=4096, description="columns of the drawn picture")
    height_pixels: int = Field(100, ge=4, le=2160, description="rows of the drawn picture")
    width_cm: float = Field(51.9, gt=0, description="width of the monitor's picture")
    height_cm: float = Field(32.4, gt=0, description="height of the monitor's picture")
    distance_cm: float = Field(15.0, gt=0, description="from the eye to the nearest point of the screen, its centre")
    geometry: Literal["spherical", "flat"] = Field(
        "spherical", description="`spherical` where the source corrected for the flat monitor, else `flat`"
    )
    width_degrees: float | None = Field(
        None, gt=0, le=360, description="degrees that the picture spans from left to right; empty for the monitor's"
    )
    height_degrees: float | None = Field(
        None, gt=0, le=360, description="degrees that the picture spans from top to bottom; empty for the monitor's"
    )
    mean_luminance: float = Field(127.0, gt=0, lt=255, description="luminance of the grey screen, 0 to 255")

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the picture in the program's degrees."""
        return (
            self._span(self.width_cm) if self.width_degrees is None else self.width_degrees,
            self._span(self.height_cm) if self.height_degrees is None else self.height_degrees,
        )

    @property
    def pixel_degrees(self) -> tuple[float, float]:
        """Width and height of one drawn pixel in degrees."""
        width, height = self.extent
        return width / self.width_pixels, height / self.height_pixels

    def columns(self) -> npt.NDArray[np.float64]:
        """Degrees right of the centre of the middle of each column, left to right."""
        return self.pixel_degrees[0] * (np.arange(self.width_pixels, dtype=np.float64) - (self.width_pixels - 1) / 2)

    def rows(self) -> npt.NDArray[np.float64]:
        """Degrees above the centre of the middle of each row, top to bottom."""
        return -self.pixel_degrees[1] * (np.arange(self.height_pixels, dtype=np.float64) - (self.height_pixels - 1) / 2)

    def eccentricity(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Visual angle, in degrees, between the screen's centre and points of the picture.

        Parameters
        ----------
        x, y : array of float
            Degrees of the stimulus program, right of and above the centre.
        """
        distance = np.hypot(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        return distance if self.geometry == "spherical" else np.rad2deg(np.arctan(np.deg2rad(distance)))

    def _span(self, centimetres: float) -> float:
        if self.geometry == "flat":
            return math.degrees(centimetres / self.distance_cm)
        return math.degrees(2 * math.atan(centimetres / 2 / self.distance_cm))
