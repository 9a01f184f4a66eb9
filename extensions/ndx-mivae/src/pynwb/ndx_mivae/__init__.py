"""NWB extension for latent variables shared by neural activity and stimuli, and their attribution to their sources."""

from pathlib import Path

from pynwb import load_namespaces

_HERE = Path(__file__).resolve().parent
_NAMESPACE_FILE = "ndx-mivae.namespace.yaml"

# Installed, the specification lies inside the package; in a source tree (editable install) at the distribution's root.
_SPEC = next(
    (folder for folder in (_HERE / "spec", _HERE.parents[2] / "spec") if (folder / _NAMESPACE_FILE).is_file()), None
)
if _SPEC is None:
    raise ImportError(
        f"ndx-mivae finds its specification {_NAMESPACE_FILE} neither in {_HERE / 'spec'} nor at the root of its "
        "source tree; install the package again"
    )
load_namespaces(str(_SPEC / _NAMESPACE_FILE))

# Only now can classes be tied to the types of the namespace.
from ndx_mivae.attribution import (  # noqa: E402
    RoiAttributionSeries,
    StimulusAttributionSeries,
    UnitAttributionSeries,
)
from ndx_mivae.cells import FunctionalFingerprints, Subpopulations, SubpopulationsTable  # noqa: E402
from ndx_mivae.checks import SPACES  # noqa: E402
from ndx_mivae.latents import LatentSeries, PresentationLatents  # noqa: E402
from ndx_mivae.metrics import AlignmentMetricsTable  # noqa: E402
from ndx_mivae.model import FORMS, MIVAEAnnotation, MIVAEModel, TrainingSessionsTable  # noqa: E402

__all__ = [
    "FORMS",
    "SPACES",
    "AlignmentMetricsTable",
    "FunctionalFingerprints",
    "LatentSeries",
    "MIVAEAnnotation",
    "MIVAEModel",
    "PresentationLatents",
    "RoiAttributionSeries",
    "StimulusAttributionSeries",
    "Subpopulations",
    "SubpopulationsTable",
    "TrainingSessionsTable",
    "UnitAttributionSeries",
]
