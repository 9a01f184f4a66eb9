"""Neural activity and visual stimuli of many animals in one latent space, from NWB files to annotated NWB files.

The public nouns are loaded when first used, so that ``import nwb_mivae`` costs nothing of torch or pynwb:

>>> import nwb_mivae as nm
>>> store = nm.prepare(["sub-1.nwb", "sub-2.nwb"], "store")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nwb_mivae.annotation import annotate, annotation_names, read_annotations
    from nwb_mivae.attribution import attribute
    from nwb_mivae.clips import ClipStore, prepare
    from nwb_mivae.evaluation import evaluate
    from nwb_mivae.mivae import MiVAE
    from nwb_mivae.sessions import Session, read_session
    from nwb_mivae.simulation import simulate
    from nwb_mivae.training import fit

    __version__: str

__all__ = [
    "ClipStore",
    "MiVAE",
    "Session",
    "__version__",
    "annotate",
    "annotation_names",
    "attribute",
    "evaluate",
    "fit",
    "prepare",
    "read_annotations",
    "read_session",
    "simulate",
]

_ROOM_OF = {
    "ClipStore": "clips",
    "MiVAE": "mivae",
    "Session": "sessions",
    "annotate": "annotation",
    "annotation_names": "annotation",
    "attribute": "attribution",
    "evaluate": "evaluation",
    "fit": "training",
    "prepare": "clips",
    "read_annotations": "annotation",
    "read_session": "sessions",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from nwb_mivae.provenance import package_version

        return package_version()
    if name in _ROOM_OF:
        return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
