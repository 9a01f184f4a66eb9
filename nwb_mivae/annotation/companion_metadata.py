"""What a companion says of session and subject: the source's words, in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynwb
from pynwb.file import Subject

from nwb_mivae.sessions.grouping import source_name
from nwb_mivae.sessions.nwb import as_text, text_values

if TYPE_CHECKING:
    from nwb_mivae.sessions.nwb import OpenedFile

__all__ = ["new_companion", "text_or_none"]

_TEXTS = (
    "experiment_description",
    "institution",
    "lab",
    "pharmacology",
    "protocol",
    "slices",
    "data_collection",
    "surgery",
    "virus",
    "stimulus_notes",
)
_LISTS = ("experimenter", "keywords", "related_publications")
_OF_SUBJECT = ("age", "description", "genotype", "sex", "species", "weight", "strain")
#: Fields that every container has, or that are said otherwise.
_OF_EVERY_SUBJECT = {*_OF_SUBJECT, "subject_id", "age__reference", "date_of_birth", "name"}


def new_companion(opened: OpenedFile, name: str) -> pynwb.NWBFile:
    """An NWBFile without data: identity, session and subject of the source; empty fields are left empty.

    Its ``identifier`` is the source's with the ``name`` of the result: companions of several results are several files.
    What made the source (``source_script``), lab metadata of extensions and external resources stay behind.
    """
    source = opened.nwbfile
    file_name = source_name(opened.location)
    identifier = text_or_none(source.identifier) or as_text(source.object_id)
    notes = [
        f"Companion of {file_name} (object_id {as_text(source.object_id)}): of that file it has what is said of "
        "session and subject and the tables that results refer to, everything else stayed there."
    ]
    session_id = _without_slashes(source.session_id, "session_id", notes)
    subject = _subject(source.subject, notes)
    said = text_or_none(source.notes)
    generators = source.was_generated_by
    return pynwb.NWBFile(
        identifier=f"{identifier}-{name}",
        session_description=text_or_none(source.session_description) or f"Session of {file_name}.",
        session_start_time=source.session_start_time,
        timestamps_reference_time=source.timestamps_reference_time,
        session_id=session_id,
        subject=subject,
        notes="\n".join([said, *notes] if said else notes),
        was_generated_by=None if generators is None else [list(text_values(pair)) for pair in generators[:]],
        **{field: text_or_none(getattr(source, field)) for field in _TEXTS},
        **{field: _texts(getattr(source, field)) for field in _LISTS},
    )


def text_or_none(value: Any) -> str | None:
    """A text, decoded, or nothing where it is empty."""
    text = as_text(value)
    return text if text.strip() else None


def _texts(values: Any) -> list[str] | None:
    if values is None:
        return None
    items = [values] if isinstance(values, str | bytes) else values[:]
    return [text for text in text_values(items) if text.strip()] or None


def _without_slashes(value: Any, field: str, notes: list[str]) -> str | None:
    text = text_or_none(value)
    if text is None or ("/" not in text and "\\" not in text):
        return text
    without = text.replace("/", "-").replace("\\", "-")
    notes.append(f"The {field} is {text!r} there; a slash is not allowed in the archive and became '-' here.")
    return without


def _subject(source: Subject | None, notes: list[str]) -> Subject | None:
    """A core Subject; what an extension's says beyond that stays behind and is named."""
    if source is None:
        return None
    beyond = sorted(
        field for field, value in source.fields.items() if field not in _OF_EVERY_SUBJECT and value is not None
    )
    if beyond:
        notes.append(f"Of the subject ({type(source).__name__} there) these stayed there: {', '.join(beyond)}.")
    reference = text_or_none(source.age__reference)
    return Subject(
        subject_id=_without_slashes(source.subject_id, "subject_id", notes),
        date_of_birth=source.date_of_birth,
        **({} if reference is None else {"age__reference": reference}),
        **{field: text_or_none(getattr(source, field)) for field in _OF_SUBJECT},
    )
