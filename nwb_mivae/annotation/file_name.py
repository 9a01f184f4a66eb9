"""What an annotated file is called: DANDI's file-name layout with ``desc-mivae``."""

from __future__ import annotations

import re
from os import PathLike, fspath
from urllib.parse import unquote

from nwb_mivae.annotation.backends import BACKENDS, BackendName
from nwb_mivae.annotation.names import MODULE, checked_name
from nwb_mivae.annotation.results import FORMS, Form
from nwb_mivae.archive import is_remote
from nwb_mivae.errors import AnnotationError
from nwb_mivae.sessions.grouping import source_name

__all__ = ["annotated_name"]

# DANDI's own layout (dandi.organize): keys in this order, values without underscore, modalities last.
_FORBIDDEN = r"_*\\/<>:|\"'?%@;"
_VALUE = rf"[^{_FORBIDDEN}.]+"
_LAYOUT = re.compile(
    rf"(?P<subject>sub-{_VALUE}(?:_ses-{_VALUE})?)"
    rf"(?P<keys>(?:_(?:tis|slice|cell|desc|probe|obj)-{_VALUE})*)"
    r"(?P<modalities>_[a-z]+(?:\+[a-z]+)*)?"
)
_KEYS_BEFORE_DESCRIPTION = ("tis", "slice", "cell")
#: Words for what was recorded of the cells themselves, which is all that a companion holds tables of.
_OF_CELLS = ("ecephys", "icephys", "ophys")
_SUFFIXES = (".nwb.zarr", ".zarr", ".nwb", ".h5", ".hdf5")
_SUFFIX_OF: dict[BackendName, str] = {"hdf5": ".nwb", "zarr": ".nwb.zarr"}
#: A description that this package gave, at the end of a description or of a name.
_DESCRIBED = re.compile(rf"(?:^|-){MODULE}(?:-[0-9]+)?$")


def annotated_name(
    source: str | PathLike[str], *, name: str = MODULE, form: Form = "copy", backend: BackendName = "hdf5"
) -> str:
    """The file name of the annotated copy or the companion of ``source``.

    A name in DANDI's layout stays in it: ``desc-mivae`` is added (or ``-mivae`` to a description already there) at the
    place DANDI gives it, the modalities stay; of them a companion has only ``ophys``, ``ecephys`` or ``icephys``. Any
    other name gets ``_desc-mivae`` at its end. A second result takes the place of the first in the description.

    Parameters
    ----------
    source : path-like
        A path, an address or a URL.
    name : str
        Name of the result in the file; ``_`` becomes ``-``.
    form : {"copy", "companion"}
        What is written; results that are appended stay in the file they are in.
    backend : {"hdf5", "zarr"}
        The format, which decides the suffix.

    Raises
    ------
    AnnotationError
        If ``name`` is not a name, or ``form`` or ``backend`` none of these.

    Examples
    --------
    >>> annotated_name("sub-1_ses-2_behavior+image+ophys.nwb")
    'sub-1_ses-2_desc-mivae_behavior+image+ophys.nwb'
    >>> annotated_name("sub-1_ses-2_behavior+image+ophys.nwb", form="companion", backend="zarr")
    'sub-1_ses-2_desc-mivae_ophys.nwb.zarr'
    >>> annotated_name("sub-1_desc-mivae_ophys.nwb", name="mivae_2")
    'sub-1_desc-mivae-2_ophys.nwb'
    >>> annotated_name("recording.nwb")
    'recording_desc-mivae.nwb'
    """
    if form not in FORMS or backend not in BACKENDS:
        raise AnnotationError(
            f"form {form!r} and backend {backend!r}",
            expected=f"one of {', '.join(FORMS)}, and one of {', '.join(BACKENDS)}",
            remedy="name one of these",
        )
    whole, suffix = _local_name(source), _SUFFIX_OF[backend]
    stem = next((whole.removesuffix(ending) for ending in _SUFFIXES if whole.endswith(ending)), whole)
    label = checked_name(name).replace("_", "-")
    layout = _LAYOUT.fullmatch(stem)
    if layout is None:
        before, separator, described = stem.rpartition("_desc-")
        return f"{before or stem}_desc-{_described(described if separator and before else '', label)}{suffix}"
    keys = [tuple(part.split("-", 1)) for part in layout["keys"].split("_")[1:]]
    stated = "-".join(value for key, value in keys if key == "desc")
    before_it = [f"{key}-{value}" for key, value in keys if key in _KEYS_BEFORE_DESCRIPTION]
    after_it = [f"{key}-{value}" for key, value in keys if key not in (*_KEYS_BEFORE_DESCRIPTION, "desc")]
    parts = [layout["subject"], *before_it, f"desc-{_described(stated, label)}", *after_it]
    return "_".join(parts) + _modalities(layout["modalities"] or "", form) + suffix


def _local_name(source: str | PathLike[str]) -> str:
    """The source's own name, fit for a file on any disk."""
    text = source_name(source)
    if not is_remote(fspath(source)):
        return text
    # In an address a slash of a session id may be written as %2F, and is none of ours to make folders of.
    return re.sub(rf"[{_FORBIDDEN[1:]}\x00-\x1f]", "-", unquote(text))


def _described(stated: str, label: str) -> str:
    """What was described before, and then the label; a result of ours makes room for the next."""
    ours = _DESCRIBED.search(stated)
    kept = stated[: ours.start()] if ours is not None and stated[ours.start() :].strip("-") != label else stated
    return f"{kept}-{label}" if kept else label


def _modalities(stated: str, form: Form) -> str:
    if form != "companion":
        return stated
    kept = [word for word in stated.strip("_").split("+") if word in _OF_CELLS]
    return f"_{'+'.join(kept)}" if kept else ""
