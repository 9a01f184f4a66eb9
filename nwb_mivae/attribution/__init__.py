"""Score-based attribution: which neurons, and which pixels, the shared latents came from."""

from nwb_mivae.attribution.configuration import AttributionConfiguration, SubpopulationConfiguration
from nwb_mivae.attribution.finding import find_subpopulations
from nwb_mivae.attribution.result import METHODS, MethodAttribution, SessionAttribution
from nwb_mivae.attribution.subpopulations import SessionSubpopulations
from nwb_mivae.attribution.tracing import attribute

__all__ = [
    "METHODS",
    "AttributionConfiguration",
    "MethodAttribution",
    "SessionAttribution",
    "SessionSubpopulations",
    "SubpopulationConfiguration",
    "attribute",
    "find_subpopulations",
]
