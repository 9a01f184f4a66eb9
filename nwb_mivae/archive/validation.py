"""What the DANDI archive would say about a file, asked offline: NWB schema, NWB Inspector, and its own rules."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from nwb_mivae.errors import ArchiveError

__all__ = ["SEVERITIES", "Cause", "Severity", "ValidationFinding", "is_zarr", "validate_for_dandi"]

Severity = Literal["critical", "error", "warning", "hint", "info"]
Cause = Literal["source", "annotation", "file"]

#: Worst first.
SEVERITIES: tuple[Severity, ...] = ("critical", "error", "warning", "hint", "info")

#: As `dandi validate` takes NWB Inspector's words with DANDI's configuration; suggestions it does not ask for.
_OF_IMPORTANCE: dict[str, Severity] = {
    "ERROR": "error",
    "PYNWB_VALIDATION": "error",
    "CRITICAL": "error",
    "BEST_PRACTICE_VIOLATION": "warning",
    "BEST_PRACTICE_SUGGESTION": "hint",
}
_ZARR_ROOTS = (".zgroup", "zarr.json")
_ANNOTATION_TYPE = "MIVAEAnnotation"
_MESSAGE_LETTERS = 400
_AT = "checking the object"
_BROKEN = "NWBI.broken_check"


@dataclass(frozen=True)
class ValidationFinding:
    """One remark about a file.

    Attributes
    ----------
    severity : str
        ``"critical"`` and ``"error"`` keep a file out of the archive; ``"warning"``, ``"hint"`` and ``"info"`` do not.
    check : str
        Name of the check, as ``"NWBI.check_subject_sex"`` or ``"pynwb.MissingError"``;
        :func:`nwb_mivae.archive.explain` says what it means.
    message : str
        What the check says.
    object_path : str or None
        Where in the file; None where it is about the whole file.
    cause : str
        ``"annotation"`` for what nwb_mivae wrote into the file, ``"file"`` where it is about the file's name, its place
        or whether it can be read at all, ``"source"`` for all the rest: in an annotated file, what the source had
        already.
    """

    severity: Severity
    check: str
    message: str
    object_path: str | None = None
    cause: Cause = "source"

    @property
    def blocks_upload(self) -> bool:
        """Whether the archive would refuse the file for it."""
        return self.severity in ("critical", "error")


def is_zarr(path: str | PathLike[str]) -> bool:
    """Whether this is a folder that holds one NWB file in Zarr format, by its name or by what it says of itself."""
    folder = Path(path)
    return folder.is_dir() and (folder.suffix == ".zarr" or any((folder / name).exists() for name in _ZARR_ROOTS))


def validate_for_dandi(path: str | PathLike[str]) -> list[ValidationFinding]:
    """Run what ``dandi validate`` and the metadata step of ``dandi upload`` run, without a network.

    That is ``pynwb.validate``, NWB Inspector with DANDI's configuration, the extraction of DANDI's metadata, and, where
    a ``dandiset.yaml`` lies above the file, the rules for its name. Beyond ``dandi validate`` it has the Inspector's
    suggestions (``"hint"``), and looks into the folders of Zarr files, which the archive takes as they are.

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
    if not file.is_file() and not is_zarr(file):
        raise ArchiveError("no file", expected="an NWB file", remedy="check the path", file=file)
    # A finding must be about the file as it is now, and nothing of it is to be kept in the user's home.
    os.environ.setdefault("DANDI_CACHE", "ignore")
    with _quiet():
        findings = _findings(file.resolve())
    results = _result_names(file)
    findings = [_with_cause(finding, results) for finding in findings]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from saying on the terminal, in their words, what the findings say."""
    logger = logging.getLogger("dandi")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def _findings(file: Path) -> list[ValidationFinding]:
    if pickled := _pickled_arrays(file):
        said = "arrays of Python pickles, which are not opened here"
        return [ValidationFinding("error", "zarr.pickles", said, path, "file") for path in pickled]
    findings = [*_schema_findings(file), *_name_findings(file)]
    unreadable, inspected = _inspector_findings(file)
    if unreadable is not None:
        # That the file cannot be opened is one fact; every tool would say it again in its own words.
        return [unreadable, *(finding for finding in findings if finding.check != "pynwb.GENERIC")]
    if is_zarr(file):
        # NWB Inspector indexes arrays in ways that Zarr cannot follow, and the archive does not run it there.
        inspected = [replace(each, severity="warning") if each.check == _BROKEN else each for each in inspected]
        return [*findings, *inspected]
    return [*findings, *inspected, *_metadata_findings(file)]


def _pickled_arrays(file: Path) -> list[str]:
    """Arrays of a Zarr folder that can run any program when they are read; older libraries read them unasked."""
    found = []
    for path in sorted(file.rglob(".zarray")) if is_zarr(file) else ():
        try:
            filters = json.loads(path.read_bytes()).get("filters") or []
        except (ValueError, AttributeError):
            continue  # which is found when the folder is opened
        if any(each.get("id") == "pickle" for each in filters):
            found.append(path.parent.relative_to(file).as_posix())
    return found


def _schema_findings(file: Path) -> Iterator[ValidationFinding]:
    for found in _schema_errors_of_zarr(file) if is_zarr(file) else _schema_errors(file):
        if isinstance(found, str):
            yield ValidationFinding("error", "pynwb.GENERIC", _short(found))
        else:
            message = _short(f"{found.name}: {found.reason}")
            yield ValidationFinding("error", f"pynwb.{type(found).__name__}", message, _plain_path(found.location))


def _schema_errors(file: Path) -> Iterator[Any]:
    """Errors of hdmf's validator, and texts where it could not do its work, as `dandi validate` has them."""
    from dandi.pynwb_utils import validate
    from hdmf.validate.errors import Error

    for result in validate(file):
        found = result.origin_result
        yield found if isinstance(found, Error) else result.message or str(found)


def _schema_errors_of_zarr(file: Path) -> Iterator[Any]:
    """The same for Zarr, which pynwb cannot validate by its path."""
    import pynwb
    from hdmf_zarr import NWBZarrIO

    try:
        with NWBZarrIO(str(file), "r") as io:
            _tell_types_of_rows(io.read_builder())
            yield from pynwb.validate(io=io)
    except Exception as problem:  # hdmf-zarr raises whatever a broken folder makes it raise
        yield _of_exception(problem)


def _tell_types_of_rows(group: Any) -> None:
    """Give rows that hold references the types the file states; hdmf-zarr leaves them open, and the validator stops."""
    for each in group.groups.values():
        _tell_types_of_rows(each)
    for dataset in group.datasets.values():
        if isinstance(dataset.dtype, list) and getattr(dataset.data, "dtype", None) == []:
            dataset.data.dtype.extend(str(part["dtype"]) for part in dataset.dtype)


def _name_findings(file: Path) -> Iterator[ValidationFinding]:
    """The archive's rules for the name and, for Zarr, for what a folder must look like."""
    from dandi.consts import dandiset_metadata_file
    from dandi.files import ZarrAsset, dandi_file
    from dandi.organize import validate_organized_path
    from dandi.utils import find_parent_directory_containing

    dandiset = find_parent_directory_containing(dandiset_metadata_file, file)
    asset = dandi_file(file, dandiset_path=dandiset) if file.suffix == ".zarr" else None
    results = asset.get_validation_errors() if isinstance(asset, ZarrAsset) else []
    if dandiset is not None:
        # The rule is written for `.nwb` alone, and the layout of a dandiset for both.
        in_dandiset = file.relative_to(dandiset).as_posix().removesuffix(".zarr")
        results += validate_organized_path(in_dandiset, file, Path(dandiset))
    for result in results:
        severity: Any = "error" if result.severity is None else result.severity.name.lower()
        yield ValidationFinding(severity, result.id, _short(result.message or result.id), None, "file")


def _inspector_findings(file: Path) -> tuple[ValidationFinding | None, list[ValidationFinding]]:
    """Why the file cannot be opened, or None; and what NWB Inspector says about it."""
    import pynwb
    from nwbinspector import available_checks, configure_checks, inspect_nwbfile_object, load_config

    try:
        nwbfile = pynwb.read_nwb(str(file))
    except Exception as problem:  # pynwb raises whatever a broken file makes it raise
        return ValidationFinding("error", "NWBI.unreadable", _short(_of_exception(problem)), None, "file"), []
    io = nwbfile.get_read_io()
    try:
        checks = configure_checks(available_checks, config=load_config("dandi"))
        checks = [_located(check, io.manager) for check in checks]
        return None, [_of_inspector(message) for message in inspect_nwbfile_object(nwbfile, checks=checks)]
    finally:
        io.close()


def _located(check: Callable[..., Any], manager: Any) -> Callable[..., Any]:
    """The check, saying in every message which object it is about; the Inspector leaves that open for most."""

    def path_of(item: Any) -> str:
        builder = manager.get_builder(item)
        return "" if builder is None else str(builder.path)

    @functools.wraps(check)
    def located(item: Any) -> Any:
        try:
            output = check(item)
        except Exception as problem:
            problem.add_note(f"{_AT} {path_of(item)}")
            raise
        for message in output if isinstance(output, list) else [output]:
            if message is not None:
                message.location = path_of(item)
        return output

    return located


def _of_inspector(message: Any) -> ValidationFinding:
    severity, name = _OF_IMPORTANCE[message.importance.name], str(message.check_function_name)
    if message.importance.name != "ERROR":
        return ValidationFinding(severity, f"NWBI.{name}", _short(message.message), _plain_path(message.location))
    # A check that broke has its name and the error in a sentence, and a traceback where the message should be.
    where = re.search(rf"^{_AT} (.*)$", str(message.message), re.MULTILINE)
    name = name.removeprefix("During evaluation of ")
    return ValidationFinding(severity, _BROKEN, _short(name), _plain_path(where and where.group(1)))


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
                    "dandi.species",
                    f"the species {species} is not in dandi's own list; only the archive can look it up",
                    "general/subject/species",
                )
            ]
        nwb2asset(file)
    except Exception as problem:  # dandi and pynwb raise whatever a broken file makes them raise
        return [ValidationFinding("error", "dandi.metadata", _short(_of_exception(problem)))]
    return []


def _of_exception(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


def _short(text: str) -> str:
    """One line of bearable length; libraries answer with tracebacks and dumps of whole objects."""
    line = " ".join(text.split())
    half = _MESSAGE_LETTERS // 2
    return line if len(line) <= _MESSAGE_LETTERS else f"{line[:half]} ... {line[-half:]}"


def _plain_path(path: str | None) -> str | None:
    return (path or "").strip("/").removeprefix("root").strip("/") or None


def _with_cause(finding: ValidationFinding, results: frozenset[str]) -> ValidationFinding:
    parts = (finding.object_path or "").split("/")
    if len(parts) > 1 and parts[0] in ("processing", "general") and parts[1] in results:
        return replace(finding, cause="annotation")
    return finding


def _result_names(file: Path) -> frozenset[str]:
    """Names of the results nwb_mivae wrote into the file: also where pynwb cannot open it, perhaps because of them."""
    try:
        with _stored(file) as stored:
            general: Mapping[str, Any] = stored["general"]
            return frozenset(name for name in general if _type_of(general[name]) == _ANNOTATION_TYPE)
    except (OSError, KeyError, ValueError):
        return frozenset()


def _stored(file: Path) -> Any:
    if not is_zarr(file):
        import h5py

        return h5py.File(file, "r")
    import zarr

    return nullcontext(zarr.open(str(file), mode="r"))


def _type_of(item: Any) -> str:
    found = item.attrs.get("neurodata_type", "")
    return found.decode() if isinstance(found, bytes) else str(found)
