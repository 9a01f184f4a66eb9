"""Where results came from: the model with its training sessions, and the file they were added to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ndx_mivae

from nwb_mivae.annotation.file_part import FilePart
from nwb_mivae.annotation.record import ModelRecord, TrainingSession
from nwb_mivae.annotation.results import Form
from nwb_mivae.provenance import package_version

if TYPE_CHECKING:
    from nwb_mivae.clips import StoredSession

__all__ = ["annotation_of"]


def annotation_of(
    stored: StoredSession, model: ModelRecord, context: Mapping[str, Any], *, part: FilePart, name: str, form: Form
) -> Any:
    """The lab metadata of one result."""
    source = TrainingSession.files_of(stored)[part.number]
    return ndx_mivae.MIVAEAnnotation(
        name=name,
        model=_model(model),
        form=form,
        code_version=package_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        source_file_name=source.file_name or None,
        source_identifier=source.identifier or None,
        source_sha256=part.digest or None,
        source_object_id=part.object_id or source.object_id or None,
        source_dandi_instance=source.dandi_instance or None,
        source_dandiset_id=source.dandiset_id or None,
        source_dandiset_version=source.dandiset_version or None,
        source_asset_path=source.asset_path or None,
        source_asset_id=source.asset_id or None,
        context_clips=int(context.get("clips", 0)),
        context_in_minutes=float(context.get("minutes", 0.0)),
    )


def _model(model: ModelRecord) -> Any:
    return ndx_mivae.MIVAEModel(
        model_name=model.name,
        code_version=model.code_version,
        weights_sha256=model.weights_sha256,
        config=model.configuration,
        training_sessions=ndx_mivae.TrainingSessionsTable.of_rows(
            session.as_columns() for session in model.training_sessions
        ),
    )
