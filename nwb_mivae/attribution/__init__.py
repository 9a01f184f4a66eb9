"""Score-based attribution: which neurons, and which pixels, the shared latents came from."""

from nwb_mivae.attribution.configuration import AttributionConfiguration, SubpopulationConfiguration
from nwb_mivae.attribution.finding import find_subpopulations
from nwb_mivae.attribution.result import CONTRIBUTIONS, METHODS, Averages, MethodAttribution, SessionAttribution
from nwb_mivae.attribution.subpopulations import SessionSubpopulations
from nwb_mivae.attribution.tracing import TrainedModel, attribute

__all__ = [
    "CONTRIBUTIONS",
    "METHODS",
    "AttributionConfiguration",
    "Averages",
    "MethodAttribution",
    "SessionAttribution",
    "SessionSubpopulations",
    "SubpopulationConfiguration",
    "TrainedModel",
    "attribute",
    "find_subpopulations",
]
