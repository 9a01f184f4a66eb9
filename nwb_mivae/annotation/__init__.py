"""Results and source NWB file to annotated NWB file, and back."""

from nwb_mivae.annotation.annotate import annotate
from nwb_mivae.annotation.file_name import annotated_name
from nwb_mivae.annotation.read import AnnotatedAttribution, Annotations, PresentationPosterior, read_annotations
from nwb_mivae.annotation.record import ModelRecord, TrainingSession

__all__ = [
    "AnnotatedAttribution",
    "Annotations",
    "ModelRecord",
    "PresentationPosterior",
    "TrainingSession",
    "annotate",
    "annotated_name",
    "read_annotations",
]
