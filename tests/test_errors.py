"""The exception family: five parts, one sentence, unchanged across processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from nwb_mivae import errors
from nwb_mivae.errors import NwbMivaeError, SessionError

KINDS = [getattr(errors, name) for name in errors.__all__]


def test_a_sentence_says_where_what_and_what_to_do() -> None:
    error = SessionError("3 rows", expected="about 6000", remedy="use the v1 file", file="a.nwb", object_path="x/y")
    assert str(error) == "a.nwb, x/y: found 3 rows; expected about 6000. Use the v1 file."


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "Found nothing."),
        ({"file": "a.nwb"}, "a.nwb: found nothing."),
        ({"object_path": "units"}, "units: found nothing."),
        ({"expected": "something."}, "Found nothing; expected something."),
        ({"remedy": "look again."}, "Found nothing. Look again."),
        ({"remedy": "DANDI has a newer version"}, "Found nothing. DANDI has a newer version."),
    ],
)
def test_parts_that_are_not_known_are_left_out(parts: dict[str, str], sentence: str) -> None:
    assert str(NwbMivaeError("nothing", **parts)) == sentence  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_catches_all_and_each_crosses_a_process_unchanged(kind: type[NwbMivaeError]) -> None:
    error = kind("a", expected="b", remedy="c", file=Path("d"), object_path="e")
    assert isinstance(error, NwbMivaeError)
    other = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own error, as multiprocessing hands it on
    assert type(other) is kind
    assert other.as_dict() == error.as_dict()
    assert str(other) == str(error)


def test_as_dict_has_the_parts_for_json() -> None:
    assert SessionError("a", file=Path("x") / "y.nwb").as_dict() == {
        "error": "SessionError",
        "file": str(Path("x") / "y.nwb"),
        "object": None,
        "found": "a",
        "expected": None,
        "remedy": None,
    }


def test_every_kind_says_what_it_is_for() -> None:
    assert all(kind.__doc__ for kind in KINDS)
    assert len({kind.__doc__ for kind in KINDS}) == len(KINDS)
