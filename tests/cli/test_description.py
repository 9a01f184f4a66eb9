"""What ``nwb-mivae inspect`` says about whether a recording can be used."""

from __future__ import annotations

from typing import Any

import pytest

from nwb_mivae.cli.description import print_description


def described(pixels: list[str], *, traces: bool = True) -> dict[str, Any]:
    """What :func:`nwb_mivae.sessions.describe` gives, as far as it is printed."""
    kind = {"kind": "dff", "path": "processing/ophys/DfOverF", "rate": 30.0, "start": 0.0, "stop": 60.0}
    stimulus: dict[str, Any] = {
        "source": "movie",
        "source_rows": 3,
        "templates": 1,
        "distinct_frames": 3,
        "largest_repeat": 0,
        "templates_with_pixels": 1,
        "rendered": 0,
    }
    stimulus["granularity"] = "movie frame"
    return {
        "key": "session",
        "file": "session.nwb",
        "files": [{"path": "session.nwb"}],
        "nwb_version": "2.8.0",
        "subject": {"subject_id": "one", "species": None},
        "traces": kind if traces else None,
        "cells": {"number": 3, "with_coordinates": 0, "areas": {}},
        "stimuli": [stimulus | {"pixels": each} for each in pixels],
        "missing_templates": {},
        "behaviour": [],
        "findings": [],
    }


@pytest.mark.parametrize(
    ("pixels", "traces", "verdict"),
    [
        (["available", "none needed"], True, "yes"),
        (["available"], False, "no: there is no neural activity"),
        ([], True, "no: nothing says when which stimulus was shown"),
        (["none needed"], True, "no: nothing says when which stimulus was shown"),
        (["missing", "none needed"], True, "not yet: no frames of any stimulus; put what is missing into a folder"),
        (["available", "missing"], True, "yes, without the stimuli whose frames are missing"),
        (["partly missing"], True, "yes, without the stimuli whose frames are missing"),
    ],
)
def test_whether_a_recording_can_be_used_is_said(
    pixels: list[str], traces: bool, verdict: str, capsys: pytest.CaptureFixture[str]
):
    print_description(described(pixels, traces=traces))
    said = " ".join(capsys.readouterr().out.partition("usable")[2].split())
    assert said.startswith(verdict)
    assert said.endswith("give it with --stimulus-folder") == ("missing" in " ".join(pixels))


def test_warnings_and_guesses_come_first_and_are_all_there(capsys: pytest.CaptureFixture[str]):
    told = described(["available"])
    levels = ["info"] * 20 + ["guess"] * 15 + ["warning"] * 2
    told["findings"] = [
        {"level": level, "object_path": "", "message": f"number {number}."} for number, level in enumerate(levels)
    ]
    print_description(told)
    lines = [line.strip() for line in capsys.readouterr().out.partition("findings")[2].splitlines() if line.strip()]
    assert lines[:3] == ["WARNING: number 35.", "WARNING: number 36.", "guessed: number 20."]
    assert lines[16:] == ["guessed: number 34.", "... 20 more"]
    told["findings"] = told["findings"][:20] + told["findings"][35:]
    print_description(told)
    lines = capsys.readouterr().out.partition("findings")[2].split("\n")
    assert [line.strip() for line in lines if line.strip()][2:] == [
        *(f"number {number}." for number in range(10)),
        "... 10 more",
    ]


def test_what_a_row_of_each_source_is_is_said(capsys: pytest.CaptureFixture[str]):
    print_description(described(["available"]))
    assert "movie: 3 rows, a movie frame each, 1 templates" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("with_pixels", "rendered", "said"), [(3, 3, "available, drawn"), (3, 1, "available, 1 templates drawn")]
)
def test_what_was_drawn_is_told_from_what_the_file_holds(
    with_pixels: int, rendered: int, said: str, capsys: pytest.CaptureFixture[str]
):
    told = described(["available"])
    told["stimuli"][0] |= {"templates": 3, "templates_with_pixels": with_pixels, "rendered": rendered}
    print_description(told)
    assert f"pixels {said}" in " ".join(capsys.readouterr().out.split())
