from __future__ import annotations

import importlib.util
from pathlib import Path

import ndx_mivae
import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "src" / "spec" / "create_extension_spec.py"


def test_the_specification_is_the_generated_one(tmp_path: Path):
    found = importlib.util.spec_from_file_location("create_extension_spec", SCRIPT)
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    script.main(tmp_path)
    for name in ("ndx-mivae.namespace.yaml", "ndx-mivae.extensions.yaml"):
        assert (tmp_path / name).read_text() == (ROOT / "spec" / name).read_text(), f"run {SCRIPT.name} again"


def test_every_type_has_a_class():
    found = importlib.util.spec_from_file_location("create_extension_spec", SCRIPT)
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    types = {spec.neurodata_type_def for spec in script.types()}
    assert types == set(ndx_mivae.__all__) - {"FORMS", "SPACES"}


def test_the_version_is_the_same_everywhere():
    version = next(
        line.split('"')[1] for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version")
    )
    assert f"version: {version}\n" in (ROOT / "spec" / "ndx-mivae.namespace.yaml").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_type_has_a_mock():
    import ndx_mivae.testing

    assert {name.removeprefix("mock_") for name in ndx_mivae.testing.__all__} == set(ndx_mivae.__all__) - {
        "FORMS",
        "SPACES",
    }


@pytest.mark.parametrize("name", sorted(set(ndx_mivae.__all__) - {"FORMS", "SPACES"}))
def test_every_class_says_what_it_is(name: str):
    assert getattr(ndx_mivae, name).__doc__
