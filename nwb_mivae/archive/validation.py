"""What the DANDI archive would say about a file, asked offline: NWB schema, NWB Inspector, and its own metadata."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from nwb_mivae.errors import ArchiveError

__all__ = ["Severity", "ValidationFinding", "validate_for_dandi"]

Severity = Literal["critical", "error", "warning", "hint", "info"]

#: By the dandi client's names, worst first.
_SEVERITIES: dict[str, Severity] = {
    "CRITICAL": "critical",
    "ERROR": "error",
    "WARNING": "warning",
    "HINT": "hint",
    "INFO": "info",
}


@dataclass(frozen=True)
class ValidationFinding:
    """One remark about a file.

    Attributes
    ----------
    severity : str
        ``"critical"`` and ``"error"`` keep a file out of the archive; ``"warning"``, ``"hint"`` and ``"info"`` do not.
    check : str
        Name of the check, as ``"NWBI.check_subject_sex"`` or ``"pynwb.GENERIC"``.
    message : str
        What the check says.
    object_path : str or None
        Where in the file.
    """

    severity: Severity
    check: str
    message: str
    object_path: str | None = None

    @property
    def blocks_upload(self) -> bool:
        """Whether the archive would refuse the file for it."""
        return self.severity in ("critical", "error")


def validate_for_dandi(path: str | PathLike[str]) -> list[ValidationFinding]:
    """Run what ``dandi validate`` and the metadata step of ``dandi upload`` run, without a network.

    That is ``pynwb.validate``, NWB Inspector with DANDI's configuration (best-practice violations and worse), the
    extraction of DANDI's metadata, and, where a ``dandiset.yaml`` lies above the file, the rules for its name.

    Returns
    -------
    list of ValidationFinding
        Worst first; empty where there is nothing to say.

    Raises
    ------
    ArchiveError
        If there is no file at ``path``. A file that cannot be read gives findings instead.
    """
    file = Path(path)
    if not file.is_file():
        raise ArchiveError("no file", expected="an NWB file", remedy="check the path", file=file)
    # A finding must be about the file as it is now, and nothing of it is to be kept in the user's home.
    os.environ.setdefault("DANDI_CACHE", "ignore")
    from dandi.consts import dandiset_metadata_file
    from dandi.files import dandi_file
    from dandi.utils import find_parent_directory_containing

    file = file.resolve()
    dandiset = find_parent_directory_containing(dandiset_metadata_file, file)
    findings = []
    for result in dandi_file(file, dandiset_path=dandiset).get_validation_errors():
        severity = _SEVERITIES["ERROR" if result.severity is None else result.severity.name]
        where = ", ".join((result.within_asset_paths or {}).values()) or None
        findings.append(ValidationFinding(severity, result.id, (result.message or result.id).strip(), where))
    findings += _metadata_findings(file)
    order = list(_SEVERITIES.values())
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _metadata_findings(file: Path) -> list[ValidationFinding]:
    from dandi.metadata.nwb import get_metadata, nwb2asset
    from dandi.metadata.util import species_map

    try:
        species = str(get_metadata(file).get("species") or "")
        if re.match("https?://", species) and not any(
            record.uri.rstrip("/").lower() == species.rstrip("/").lower() for record in species_map
        ):
            return [
                ValidationFinding(
                    "info",
                    "dandi.metadata",
                    f"the species {species} is not in dandi's own list; only the archive can look it up",
                    "general/subject/species",
                )
            ]
        nwb2asset(file)
    except Exception as problem:  # dandi and pynwb raise whatever a broken file makes them raise
        return [ValidationFinding("error", "dandi.metadata", f"{type(problem).__name__}: {problem}")]
    return []
