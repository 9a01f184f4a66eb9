"""What every configuration class of the package shares: typed, closed, and refused with the path of the key.

Each room keeps its own class beside what it configures; this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar, Self

import pydantic
import yaml

from nwb_mivae.errors import ConfigurationError

__all__ = ["Configuration"]


class Configuration(pydantic.BaseModel):
    """A typed, immutable set of settings that refuses unknown keys and impossible values."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    #: Keys of earlier versions that a run's settings may still hold, and what to do about each.
    retired: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, file: str | PathLike[str] | None = None) -> Self:
        """Check ``values`` and make the configuration.

        Raises
        ------
        ConfigurationError
            Naming the path of the first wrong key, for example ``training.steps``.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as problem:
            raise _explain(problem, cls, file) from None

    @classmethod
    def from_yaml(cls, path: str | PathLike[str]) -> Self:
        """Read a YAML file whose top level is a mapping of this class's keys."""
        try:
            text = Path(path).read_bytes()
        except OSError as problem:
            raise ConfigurationError(
                f"a configuration file that cannot be read ({problem.strerror})",
                expected="a YAML file",
                remedy="check the path",
                file=path,
            ) from problem
        try:
            values = yaml.safe_load(text.decode("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as problem:
            raise ConfigurationError(
                f"text that is not YAML ({' '.join(str(problem).split())})",
                expected="a YAML mapping",
                remedy="correct the line it names",
                file=path,
            ) from problem
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise ConfigurationError(
                f"a {type(values).__name__} at the top level",
                expected="a mapping of settings",
                remedy="start from `nwb-mivae train --help`",
                file=path,
            )
        return cls.from_mapping(values, file=path)

    def to_yaml(self) -> str:
        """The settings as YAML text that :meth:`from_yaml` reads back to an equal object."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _explain(
    problem: pydantic.ValidationError, cls: type[Configuration], file: str | PathLike[str] | None
) -> ConfigurationError:
    first = problem.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    more = problem.error_count() - 1
    found, expected, remedy = f"{first['msg']} (value {first.get('input')!r})", None, "correct that key"
    where = _class_at(cls, first["loc"][:-1])
    if first["type"] == "extra_forbidden" and where is not None:
        last = str(first["loc"][-1])
        found = "a key of an earlier version" if last in where.retired else "an unknown key"
        expected = f"one of the keys {', '.join(where.model_fields)}"
        remedy = where.retired.get(last, remedy)
    if more:
        found += f", and {more} more"
    return ConfigurationError(
        found,
        expected=expected,
        remedy=remedy,
        file=None if file is None else fspath(file),
        object_path=key or None,
    )


def _class_at(cls: type[Configuration], location: tuple[int | str, ...]) -> type[Configuration] | None:
    """The class that has the keys at a place of the settings; ``None`` where there is a mapping of free keys."""
    current = cls
    for part in location:
        field = current.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Configuration)):
            return None
        current = field.annotation
    return current
