"""What ``nwb-mivae inspect`` says about whether a recording can be used."""

from __future__ import annotations

from typing import Any

import pytest

from nwb_mivae.cli.description import print_description


def described(pixels: list[str], *, traces: bool = True) -> dict[str, Any]:
    """What :func:`nwb_mivae.sessions.describe` gives, as far as it is printed."""
    kind = {"kind": "dff", "path": "processing/ophys/DfOverF", "rate": 30.0, "start": 0.0, "stop": 60.0}
    stimulus = {"source": "movie", "source_rows": 3, "templates": 1, "distinct_frames": 3, "largest_repeat": 0}
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
