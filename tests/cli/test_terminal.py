from __future__ import annotations

import json

import pytest
import typer

from nwb_mivae.cli.terminal import Terminal, printable
from nwb_mivae.errors import SessionError


def code_of(error: BaseException | None, *, as_json: bool = False, exit_code: int = 0) -> int:
    try:
        with Terminal(as_json=as_json, quiet=False, after_interruption="Go on with --resume.") as terminal:
            print("a library talks")
            terminal.result({"answer": 42}, "forty-two", exit_code=exit_code)
            if error is not None:
                raise error
    except typer.Exit as end:
        return end.exit_code
    return 0


def test_a_result_is_the_only_thing_on_standard_output(capsys: pytest.CaptureFixture[str]):
    assert code_of(None) == 0
    captured = capsys.readouterr()
    assert captured.out == "forty-two\n"
    assert captured.err == "a library talks\n"


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    assert code_of(None, as_json=True, exit_code=3) == 3
    assert json.loads(capsys.readouterr().out) == {"answer": 42}


def test_a_refusal_is_one_message_without_traceback(capsys: pytest.CaptureFixture[str]):
    error = SessionError("3 rows", expected="more", remedy="use another file", file="a.nwb", object_path="stimulus/x")
    assert code_of(error) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nwb-mivae: a.nwb, stimulus/x: found 3 rows; expected more. Use another file." in captured.err
    assert "Traceback" not in captured.err
    assert code_of(error, as_json=True) == 3
    assert json.loads(capsys.readouterr().out) == error.as_dict()


def test_a_bug_shows_its_traceback_and_asks_to_be_reported(capsys: pytest.CaptureFixture[str]):
    assert code_of(ZeroDivisionError("by zero")) == 1
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert "this is a bug" in captured.err
    assert code_of(ZeroDivisionError("by zero"), as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "ZeroDivisionError"


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]):
    assert code_of(KeyboardInterrupt()) == 130
    assert "Interrupted; nothing half-written was left. Go on with --resume." in capsys.readouterr().err


@pytest.mark.parametrize("error", [typer.BadParameter("no"), BrokenPipeError(), SystemExit(0)])
def test_the_command_lines_own_endings_pass(error: BaseException):
    with pytest.raises(type(error)):
        code_of(error)


def test_bars_are_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with Terminal(as_json=False, quiet=False) as terminal:
        terminal.progress("unseen", 1, 2)
    assert capsys.readouterr().err == ""
    for quiet, seen in ((False, True), (True, False)):
        with Terminal(as_json=False, quiet=quiet) as terminal:
            monkeypatch.setattr("sys.stderr.isatty", lambda: True)
            for description in ("first", "second [bold]"):
                terminal.progress(description, 1, 2)
            terminal.progress("second [bold]", 2, 2)
            terminal.note("by the way")
            terminal.result({}, "done")
        assert ("second [bold]" in (text := capsys.readouterr().err)) is seen
        assert ("by the way" in text) is seen


def test_control_characters_from_files_are_made_visible():
    assert printable("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\nc\\u202e"
