"""Names of files in a dandiset, from the metadata inside them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nwb_mivae.errors import ArchiveError

__all__ = ["name_in_dandiset"]


def name_in_dandiset(file: Path, description: str) -> tuple[str, bool]:
    """What a file is called in a dandiset, ``sub-ID/sub-ID_ses-ID_desc-DESCRIPTION_MODALITIES.nwb``.

    The name follows from the metadata, by the rules of ``dandi organize``; those of other files play no part. A name
    that the file has already is kept if it is of that form and agrees with the metadata: files of one session may
    differ in nothing but what their names say.

    Returns
    -------
    str, bool
        The path with forward slashes, and whether the file names movies that lie outside it.

    Raises
    ------
    ArchiveError
        If the file has no subject, an identifier with a slash, or metadata that cannot be read.
    """
    os.environ.setdefault("DANDI_CACHE", "ignore")
    from dandi.metadata.nwb import get_metadata
    from dandi.organize import ORGANIZED_FILENAME_REGEX, create_unique_filenames_from_metadata

    try:
        metadata = dict(get_metadata(file) or {})
    except Exception as problem:  # dandi and pynwb raise whatever a broken file makes them raise
        raise ArchiveError(
            f"a file that DANDI's metadata cannot be taken from ({type(problem).__name__}: {problem})",
            expected="a whole NWB file",
            remedy="check it with `nwb-mivae check`",
            file=file,
        ) from problem
    for field, where in (("subject_id", "general/subject/subject_id"), ("session_id", "general/session_id")):
        value = str(metadata.get(field) or "").strip()
        if (not value and field == "subject_id") or "/" in value:
            raise ArchiveError(
                f"{field} {value!r}" if value else f"no {field}",
                expected="an identifier without '/', which DANDI makes names and folders of",
                remedy=f"correct {where} in the annotated file (it is a copy), or in the source and annotate again",
                file=file,
                object_path=where,
            )
    record = {**metadata, "path": str(file), "description": description}
    (named,) = create_unique_filenames_from_metadata(
        [record], required_fields=["session_id", "tissue_sample_id", "slice_id", "cell_id", "description"]
    )
    path = str(named["dandi_path"])
    recording = Path(path).name.partition("_desc-")[0]
    stated = re.search(r"_desc-([^_.]+)", file.name)
    if (
        re.fullmatch(ORGANIZED_FILENAME_REGEX, file.name)
        and file.name.startswith(f"{recording}_")
        and stated is not None
        and re.fullmatch(rf"(?:.*-)?{re.escape(description)}", stated[1])
    ):
        path = f"{Path(path).parent}/{file.name}"
    outside = any(series.get("external_files") for series in metadata.get("external_file_objects") or ())
    return path, outside
