"""Which neurons and pixels latents came from, which cells act alike, and what of the stimulus it is about."""

from nwb_mivae.attribution.configuration import (
    AttributionConfiguration,
    StimulusRegionConfiguration,
    SubpopulationConfiguration,
)
from nwb_mivae.attribution.finding import find_subpopulations
from nwb_mivae.attribution.onset_courses import OnsetCourses, onset_courses
from nwb_mivae.attribution.possible import why_no_stimulus_regions, why_no_subpopulations
from nwb_mivae.attribution.region_result import SessionStimulusRegions
from nwb_mivae.attribution.regions import find_stimulus_regions
from nwb_mivae.attribution.result import CONTRIBUTIONS, METHODS, Averages, MethodAttribution, SessionAttribution
from nwb_mivae.attribution.subpopulations import SessionSubpopulations
from nwb_mivae.attribution.tracing import TrainedModel, attribute

__all__ = [
    "CONTRIBUTIONS",
    "METHODS",
    "AttributionConfiguration",
    "Averages",
    "MethodAttribution",
    "OnsetCourses",
    "SessionAttribution",
    "SessionStimulusRegions",
    "SessionSubpopulations",
    "StimulusRegionConfiguration",
    "SubpopulationConfiguration",
    "TrainedModel",
    "attribute",
    "find_stimulus_regions",
    "find_subpopulations",
    "onset_courses",
    "why_no_stimulus_regions",
    "why_no_subpopulations",
]
