"""The steps of a run, one function per command; each reads what earlier steps left in the run's directory."""

from nwb_mivae.pipeline.annotating import annotate
from nwb_mivae.pipeline.attributing import AttributedSession, attribute
from nwb_mivae.pipeline.checking import CheckedFile, check
from nwb_mivae.pipeline.configuration import PipelineConfiguration
from nwb_mivae.pipeline.demonstration import DEMO_SETTINGS, DemoResult, demo
from nwb_mivae.pipeline.publication import Publication, PublicationPlan, RefusedFilesError, plan_publication, publish
from nwb_mivae.pipeline.record import TrainedRun
from nwb_mivae.pipeline.steps import (
    evaluate,
    fingerprints,
    inspect,
    latents,
    prepare,
    report,
    simulate,
    train,
)

__all__ = [
    "DEMO_SETTINGS",
    "AttributedSession",
    "CheckedFile",
    "DemoResult",
    "PipelineConfiguration",
    "Publication",
    "PublicationPlan",
    "RefusedFilesError",
    "TrainedRun",
    "annotate",
    "attribute",
    "check",
    "demo",
    "evaluate",
    "fingerprints",
    "inspect",
    "latents",
    "plan_publication",
    "prepare",
    "publish",
    "report",
    "simulate",
    "train",
]
