"""Results and source NWB file to annotated NWB file, and back."""

from nwb_mivae.annotation.annotate import annotate
from nwb_mivae.annotation.annotations import (
    AnnotatedAttribution,
    AnnotatedFingerprints,
    AnnotatedSubpopulations,
    Annotations,
    PresentationPosterior,
)
from nwb_mivae.annotation.file_name import annotated_name
from nwb_mivae.annotation.read import annotation_names, read_annotations
from nwb_mivae.annotation.record import ModelRecord, TrainingSession

__all__ = [
    "AnnotatedAttribution",
    "AnnotatedFingerprints",
    "AnnotatedSubpopulations",
    "Annotations",
    "ModelRecord",
    "PresentationPosterior",
    "TrainingSession",
    "annotate",
    "annotated_name",
    "annotation_names",
    "read_annotations",
]
