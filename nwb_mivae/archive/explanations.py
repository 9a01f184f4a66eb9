"""Findings of the validators in plain words: what each means, whether it blocks an upload, whose it is, what to do."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from nwb_mivae.archive.validation import SEVERITIES, Cause, Severity, ValidationFinding

__all__ = ["ExplainedFinding", "explain", "explanations"]

_WHERE: dict[Cause, str] = {
    "source": "comes from the recording",
    "annotation": "written by nwb_mivae",
    "file": "about the file itself",
}
_OUR_BUG = "this is a bug of nwb_mivae, please report it with this line"


@dataclass(frozen=True)
class ExplainedFinding:
    """A finding, or many alike, in one sentence.

    Attributes
    ----------
    severity : str
        As :class:`ValidationFinding` has it.
    check : str
        Name of the check.
    cause : str
        ``"source"``, ``"annotation"`` or ``"file"``.
    sentence : str
        What it means, where it comes from, whether it blocks an upload, and what to do.
    object_paths : tuple of str
        Objects inside the file it was found at, each once; empty where it is about the whole file.
    messages : tuple of str
        What the check itself said, each different text once.
    count : int
        How many findings these are.
    """

    severity: Severity
    check: str
    cause: Cause
    sentence: str
    object_paths: tuple[str, ...]
    messages: tuple[str, ...]
    count: int

    @property
    def blocks_upload(self) -> bool:
        """Whether the archive would refuse the file for it."""
        return self.severity in ("critical", "error")

    def as_dict(self) -> dict[str, Any]:
        """All of it, for ``--json`` output."""
        return {
            "severity": self.severity,
            "check": self.check,
            "blocks_upload": self.blocks_upload,
            "cause": self.cause,
            "sentence": self.sentence,
            "count": self.count,
            "objects": list(self.object_paths),
            "messages": list(self.messages),
        }


@functools.cache
def explanations() -> Mapping[str, Mapping[str, str]]:
    """What is known of each check: ``means``, ``do`` and, for some, ``ours``, by the check's name."""
    import yaml

    text = files("nwb_mivae.archive").joinpath("explanations.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return loaded


def explain(findings: Iterable[ValidationFinding]) -> list[ExplainedFinding]:
    """Explain findings about one file, those that are alike together.

    Parameters
    ----------
    findings : iterable of ValidationFinding
        As :func:`validate_for_dandi` returns them.

    Returns
    -------
    list of ExplainedFinding
        Worst first, and in the order they came in. A check nobody has explained is told in its own words.
    """
    alike: dict[tuple[Severity, str, Cause], list[ValidationFinding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.check, finding.cause), []).append(finding)
    explained = [
        ExplainedFinding(
            severity=severity,
            check=check,
            cause=cause,
            sentence=_sentence(group[0]),
            object_paths=tuple(dict.fromkeys(finding.object_path for finding in group if finding.object_path)),
            messages=tuple(dict.fromkeys(finding.message for finding in group)),
            count=len(group),
        )
        for (severity, check, cause), group in alike.items()
    ]
    return sorted(explained, key=lambda finding: SEVERITIES.index(finding.severity))


def _sentence(finding: ValidationFinding) -> str:
    known = explanations().get(finding.check)
    if known is None:
        means = f"the check {finding.check} says: {finding.message.rstrip('.')}"
        remedy = "look at the object it names" if finding.object_path else "look at what the message names"
    else:
        means, remedy = known["means"], known["do"]
    if finding.cause == "annotation":
        remedy = known["ours"] if known is not None and "ours" in known else _OUR_BUG
    blocks = "blocks the upload" if finding.blocks_upload else "does not block the upload"
    return f"{means[0].upper()}{means[1:]} ({_WHERE[finding.cause]}; {blocks}): {remedy}."
