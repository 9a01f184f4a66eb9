"""Configuration: typed, closed, immutable, refused with the path of the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveInt

from nwb_mivae.configuration import Configuration
from nwb_mivae.errors import ConfigurationError


class Inner(Configuration):
    steps: PositiveInt = 3
    rate: float = Field(0.5, gt=0)
    lags: tuple[int, ...] = (0, 1)


class Outer(Configuration):
    inner: Inner = Inner()
    name: str | None = None
    optional: Inner | None = None


@given(
    steps=st.integers(1, 10**9),
    rate=st.floats(1e-300, 1e300),
    lags=st.lists(st.integers(-5, 5)),
    name=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
)
def test_yaml_round_trip(steps: int, rate: float, lags: list[int], name: str | None) -> None:
    import yaml

    made = Outer.from_mapping({"inner": {"steps": steps, "rate": rate, "lags": lags}, "name": name})
    assert Outer.from_mapping(yaml.safe_load(made.to_yaml())) == made


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: Versuch für Mäuse\ninner:\n  steps: 7\n", encoding="utf-8")
    found = Outer.from_yaml(path)
    assert found.inner.steps == 7
    assert found.name == "Versuch für Mäuse"
    path.write_text(found.to_yaml(), encoding="utf-8")
    assert Outer.from_yaml(path) == found


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("# nothing yet\n")
    assert Outer.from_yaml(path) == Outer()


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"inner": {"steps": 0}}, "inner.steps"),
        ({"inner": {"stesp": 1}}, "inner.stesp"),
        ({"inner": None}, "inner"),
        ({"inner": {"lags": [0, "x"]}}, "inner.lags.1"),
        ({"inner": {"rate": math.inf}}, "inner.rate"),
        ({"inner": {"rate": math.nan}}, "inner.rate"),
        ({"nmae": "x"}, "nmae"),
        ({"optional": {"x": 1}}, "optional.x"),
    ],
)
def test_wrong_keys_and_impossible_values_are_refused_with_their_path(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Outer.from_mapping(values, file="run.yaml")
    assert refusal.value.object_path == key
    assert refusal.value.file == "run.yaml"
    assert refusal.value.remedy


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="an unknown key; expected one of the keys steps, rate, lags"):
        Outer.from_mapping({"inner": {"stesp": 1}})
    with pytest.raises(ConfigurationError, match="expected one of the keys inner, name, optional"):
        Outer.from_mapping({"nmae": 1})


def test_more_than_one_mistake_is_counted() -> None:
    with pytest.raises(ConfigurationError, match="and 1 more"):
        Outer.from_mapping({"inner": {"steps": 0, "rate": -1}})


def test_without_a_file_none_is_named() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Outer.from_mapping({"nmae": 1})
    assert refusal.value.file is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a: [1,", "not YAML"),
        (b"\xff\xfe\x00\x01", "not YAML"),
        (b"- 1\n- 2\n", "list at the top level"),
        (b"!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_files_that_are_no_settings_are_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=found) as refusal:
        Outer.from_yaml(path)
    assert refusal.value.file == str(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as refusal:
        Outer.from_yaml(tmp_path / "nowhere.yaml")
    assert refusal.value.file == str(tmp_path / "nowhere.yaml")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(pydantic.ValidationError):
        Inner().steps = 5  # type: ignore[misc]


class _Renamed(Configuration):
    retired: ClassVar[Mapping[str, str]] = {"depth": "set height instead"}

    height: int = 1


class _Outer(Configuration):
    inner: _Renamed = _Renamed()


@pytest.mark.parametrize("values", [{"inner": {"depth": 3}}, {"inner": {"height": 2, "depth": 3}}])
def test_a_key_of_an_earlier_version_is_refused_with_what_to_do_instead(values: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"inner\.depth: found a key of an earlier version.*Set height instead"
    ):
        _Outer.from_mapping(values)
    with pytest.raises(ConfigurationError, match=r"inner\.width: found an unknown key; expected one of.* height"):
        _Outer.from_mapping({"inner": {"width": 3}})
