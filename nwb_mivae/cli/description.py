"""The table that ``nwb-mivae inspect`` prints for one recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nwb_mivae.cli.terminal import printable

__all__ = ["print_description"]

#: So many lines of one kind are printed, and more only of warnings and guesses; --json has them all.
_LINES_SHOWN = 12
#: What stands before findings of each level, the ones that matter most first.
_MARKS = {"warning": "WARNING: ", "guess": "guessed: ", "info": ""}
#: What a row of a stimulus table or series is, by its granularity.
_A_ROW_IS = {
    "display frame": "a refresh of the display",
    "movie frame": "a movie frame",
    "image": "an image",
    "parameters": "parameters of a grating or the like",
    "whole movie": "a whole movie",
    "none": "grey or nothing",
}


def print_description(described: Mapping[str, Any]) -> None:
    """Print what :func:`nwb_mivae.sessions.describe` found, as a table of two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, lines in _parts(described):
        # Text, not markup: brackets in a file's names are names.
        table.add_row(name, Text(printable("\n".join(lines))))
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a file or a pipe has no width of its own; names must not be cut at 80
    console.print(Text(printable(str(described["key"])), style="bold underline"))
    console.print(table)
    console.print()


def _parts(described: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    subject = described["subject"]
    files = [file["path"] for file in described["files"]]
    named = [f"{file} (NWB {described['nwb_version']})" for file in files]
    yield "file" if len(files) == 1 else "files", _first(named, _LINES_SHOWN)
    yield "animal", [f"{subject['subject_id'] or 'not named'}, {subject['species'] or 'species not given'}"]
    yield "activity", _activity(described["traces"])
    cells = described["cells"]
    areas = ", ".join(f"{area}: {count}" for area, count in cells["areas"].items())
    positions = f"{cells['with_coordinates']} of them with a position in micrometres"
    yield "cells", [f"{cells['number']}, {positions}; areas {areas or '-'}"]
    yield "stimuli", _first([_stimulus(each) for each in described["stimuli"]], _LINES_SHOWN) or ["none"]
    if described["missing_templates"]:
        missing = [f"{name}: {why}" for name, why in described["missing_templates"].items()]
        yield "missing", _first(missing, _LINES_SHOWN)
    behaviour = [f"{each['name']} ({each['unit']}), {_hertz(each['rate'])}" for each in described["behaviour"]]
    yield "behaviour", behaviour or ["none"]
    yield "usable", [_usable(described)]
    findings = _findings(described["findings"])
    if findings:
        yield "findings", findings


def _first(lines: list[str], shown: int) -> list[str]:
    return lines if len(lines) <= shown else [*lines[:shown], f"... {len(lines) - shown} more"]


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every warning, then every guess, then as many others as there is room for."""
    ranked = [each for level in _MARKS for each in findings if each["level"] == level]
    serious = sum(each["level"] != "info" for each in findings)
    lines = [
        f"{_MARKS[each['level']]}{each['message']}" + (f" [{each['object_path']}]" if each["object_path"] else "")
        for each in ranked
    ]
    return _first(lines, max(_LINES_SHOWN, serious))


def _usable(described: Mapping[str, Any]) -> str:
    """Whether `prepare` can take the recording, and what it lacks."""
    if described["traces"] is None:
        return "no: there is no neural activity"
    pixels = {each["pixels"] for each in described["stimuli"]} - {"none needed"}
    if not pixels:
        return "no: nothing says when which stimulus was shown"
    if pixels == {"available"}:
        return "yes"
    lacking = "put what is missing into a folder, under these names, and give it with --stimulus-folder"
    if pixels == {"missing"}:
        return f"not yet: no frames of any stimulus; {lacking}"
    return f"yes, without the stimuli whose frames are missing; to use these too, {lacking}"


def _activity(traces: Mapping[str, Any] | None) -> list[str]:
    if traces is None:
        return ["none that can be used"]
    rate = f"{traces['spikes']:,} spikes" if "spikes" in traces else _hertz(traces["rate"])
    if "planes" in traces:
        rate = f"{len(traces['planes'])} planes on clocks of their own, {rate}"
    return [f"{traces['kind']}, {rate}, {_seconds(traces['start'])} to {_seconds(traces['stop'])} [{traces['path']}]"]


def _stimulus(stimulus: Mapping[str, Any]) -> str:
    repeats = f", shown up to {stimulus['largest_repeat'] + 1} times" if stimulus["largest_repeat"] else ""
    granularity = f", {_A_ROW_IS[stimulus['granularity']]} each" if stimulus["granularity"] in _A_ROW_IS else ""
    drawn = stimulus["rendered"]
    whose = (
        "" if not drawn else ", drawn" if drawn == stimulus["templates_with_pixels"] else f", {drawn} templates drawn"
    )
    return (
        f"{stimulus['source']}: {stimulus['source_rows']} rows{granularity}, {stimulus['templates']} templates, "
        f"{stimulus['distinct_frames']} distinct frames{repeats}; pixels {stimulus['pixels']}{whose}"
    )


def _hertz(rate: float | None) -> str:
    return "rate unknown" if rate is None else f"{rate:.4g} Hz"


def _seconds(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.1f} s"
