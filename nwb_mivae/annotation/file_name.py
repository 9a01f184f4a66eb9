"""What an annotated copy is called: DANDI's file-name layout with ``desc-mivae``."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

__all__ = ["annotated_name"]

# DANDI's own layout (dandi.organize): keys in this order, values without underscore, modalities last.
_VALUE = r"[^_*\\/<>:|\"'?%@;.]+"
_LAYOUT = re.compile(
    rf"(?P<subject>sub-{_VALUE}(?:_ses-{_VALUE})?)"
    rf"(?P<keys>(?:_(?:tis|slice|cell|desc|probe|obj)-{_VALUE})*)"
    r"(?P<modalities>_[a-z]+(?:\+[a-z]+)*)?"
)
_KEYS_BEFORE_DESCRIPTION = ("tis", "slice", "cell")


def annotated_name(source: str | PathLike[str]) -> str:
    """The file name of the annotated copy of ``source``.

    A name in DANDI's layout stays in it: ``desc-mivae`` is added (or ``-mivae`` to a description already there) at the
    place DANDI gives it, the modalities stay. Any other name gets ``_desc-mivae`` at its end.

    Examples
    --------
    >>> annotated_name("sub-1_ses-2_behavior+image+ophys.nwb")
    'sub-1_ses-2_desc-mivae_behavior+image+ophys.nwb'
    >>> annotated_name("recording.nwb")
    'recording_desc-mivae.nwb'
    """
    path = Path(source)
    layout = _LAYOUT.fullmatch(path.stem)
    if layout is None:
        return f"{path.stem}_desc-mivae{path.suffix}"
    keys = [tuple(part.split("-", 1)) for part in layout["keys"].split("_")[1:]]
    described = "-".join([value for key, value in keys if key == "desc"] + ["mivae"])
    before = [f"{key}-{value}" for key, value in keys if key in _KEYS_BEFORE_DESCRIPTION]
    after = [f"{key}-{value}" for key, value in keys if key not in (*_KEYS_BEFORE_DESCRIPTION, "desc")]
    parts = [layout["subject"], *before, f"desc-{described}", *after]
    return "_".join(parts) + (layout["modalities"] or "") + path.suffix
