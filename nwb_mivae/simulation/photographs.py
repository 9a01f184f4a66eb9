"""The photographs that natural movies are filmed from: scikit-image and scikit-learn carry them in their wheels."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nwb_mivae.errors import SimulationError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PHOTOGRAPHS", "Photographs", "load_photographs"]

#: 8-bit luminance pictures, in the order of :data:`PHOTOGRAPHS`.
Photographs: TypeAlias = "Sequence[Image]"

#: Package and file of each photograph, in the order that seeds refer to: append, never reorder. Only files inside the
#: wheels, so that nothing is ever downloaded.
PHOTOGRAPHS: tuple[tuple[str, str], ...] = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/brick.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)

_SHORTER_SIDE = 288


def load_photographs() -> Photographs:
    """The photographs as 8-bit luminance, their shorter side 288 pixels, contrast stretched to the full range.

    The stretch takes the 1st and 99th percentile of each photograph to black and white: photographs differ widely
    in exposure, and a movie of all of them should not be told apart by mean luminance alone.

    Raises
    ------
    SimulationError
        If scikit-image or scikit-learn is not installed, or lacks one of the photographs.
    """
    from PIL import Image

    photographs = []
    for package, name in PHOTOGRAPHS:
        path = _folder_of(package) / name
        if not path.is_file():
            raise SimulationError(
                "no such photograph in the installed package",
                expected=f"the photographs that {package} ships",
                remedy="install the versions named in constraints.txt: pip install 'nwb-mivae[simulation]'",
                file=path,
            )
        with Image.open(path) as opened:
            luminance = opened.convert("L")
        scale = _SHORTER_SIDE / min(luminance.size)
        size = (round(luminance.width * scale), round(luminance.height * scale))
        pixels = np.asarray(luminance.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
        black, white = np.percentile(pixels, (1.0, 99.0))
        stretched = np.clip((pixels - black) / (white - black), 0.0, 1.0)
        photographs.append(Image.fromarray(np.round(255.0 * stretched).astype(np.uint8)))
    return photographs


def _folder_of(package: str) -> Path:
    specification = find_spec(package)
    if specification is None or specification.origin is None:
        raise SimulationError(
            f"the package {package}, whose photographs the movies are filmed from, is not installed",
            expected="scikit-image and scikit-learn",
            remedy="pip install 'nwb-mivae[simulation]'",
        )
    return Path(specification.origin).parent
