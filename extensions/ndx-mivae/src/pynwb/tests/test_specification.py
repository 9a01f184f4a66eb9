from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import ndx_mivae
import ndx_mivae.testing
import pynwb
import pytest
from hdmf.testing.validate_spec import validate_spec
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "src" / "spec"
TYPES = sorted(set(ndx_mivae.__all__) - {"FORMS", "SPACES"})
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def specification() -> dict[str, Any]:
    groups = YAML(typ="safe").load((ROOT / "spec" / "ndx-mivae.extensions.yaml").read_text(encoding="utf-8"))["groups"]
    return {group["neurodata_type_def"]: group for group in groups}


def fields(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("attributes", "datasets", "groups", "links"):
        yield from spec.get(kind, ())


@pytest.fixture
def scripts(script_of: Any) -> dict[str, ModuleType]:
    return {path.stem: script_of(path) for path in SCRIPTS.glob("*.py")}


def test_the_specification_is_the_generated_one(scripts: dict[str, ModuleType], tmp_path: Path):
    scripts["create_extension_spec"].main(tmp_path)
    for name in ("ndx-mivae.namespace.yaml", "ndx-mivae.extensions.yaml"):
        assert (tmp_path / name).read_text() == (ROOT / "spec" / name).read_text(), "run create_extension_spec.py again"


@pytest.mark.parametrize("name", ["ndx-mivae.namespace.yaml", "ndx-mivae.extensions.yaml"])
def test_the_specification_follows_the_schema_language(name: str):
    """As ``validate_hdmf_spec spec -m nwb.schema.json`` does; pynwb comes with the language's rules."""
    validate_spec(str(ROOT / "spec" / name), str(files("pynwb") / "nwb-schema" / "nwb.schema.json"))


def test_every_type_has_a_class_and_a_mock():
    assert set(specification()) == set(TYPES)
    assert {name.removeprefix("mock_") for name in ndx_mivae.testing.__all__} == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_every_class_says_what_it_is(name: str):
    assert getattr(ndx_mivae, name).__doc__


@pytest.mark.parametrize("name", TYPES)
def test_the_class_has_the_fields_of_the_specification(name: str):
    spec, mock = specification()[name], getattr(ndx_mivae.testing, f"mock_{name}")()
    columns = {field["name"] for field in fields(spec) if field.get("neurodata_type_inc") == "VectorData"}
    others = {field["name"] for field in fields(spec)} - columns
    assert {column["name"] for column in getattr(mock, "__columns__", ())} == columns
    assert others <= {field["name"] for field in type(mock).get_fields_conf()}


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("LatentSeries", None),
        ("RoiAttributionSeries", "num_ROIs"),  # as RoiResponseSeries calls it
        ("UnitAttributionSeries", "num_units"),
        ("StimulusAttributionSeries", "x"),
    ],
)
def test_a_dimension_has_one_name_in_a_type(name: str, dimension: str | None):
    arrays = {field["name"]: field["dims"] for field in specification()[name]["datasets"] if "dims" in field}
    data, other = arrays["data"], arrays.get("per_latent") or arrays["variance"]
    data = data[0] if isinstance(data[0], list) else data
    assert data[1:] == other[1:]
    assert dimension is None or data[-1] == dimension


@pytest.mark.parametrize("name", TYPES)
def test_every_field_is_described_and_in_the_reference(name: str):
    page = (ROOT / "docs" / "source" / "types.rst").read_text(encoding="utf-8")
    _, _, section = page.partition(f"\n{name}\n{'-' * len(name)}\n")
    section = section.partition("\n---")[0]
    for field in fields(specification()[name]):
        assert field["doc"].endswith("."), field["name"]
        assert f"   * - ``{field['name']}``\n" in section
        assert " ".join(field["doc"].split()).replace("`", "``") in section


def test_the_reference_is_the_generated_one(scripts: dict[str, ModuleType], tmp_path: Path):
    scripts["create_type_reference"].main(tmp_path / "types.rst")
    kept = (ROOT / "docs" / "source" / "types.rst").read_text(encoding="utf-8")
    assert (tmp_path / "types.rst").read_text(encoding="utf-8") == kept, "run create_type_reference.py again"


def test_the_readme_names_every_type():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in TYPES:
        assert f"| `{name}` |" in readme


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for example in examples:
        exec(example, {})
    assert capsys.readouterr().out == "neural_shared (90, 12) ['mouse0']\n"
    assert pynwb.validate(path="latents.nwb") == []


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert f"version: {version}\n" in (ROOT / "spec" / "ndx-mivae.namespace.yaml").read_text()
    assert f"version: {version}\n" in (ROOT / "ndx-meta.yaml").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_oldest_versions_tested_are_the_oldest_allowed():
    lines = (ROOT / "requirements-min.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    allowed = {}
    for text in PROJECT["project"]["dependencies"]:
        name, _, versions = text.partition(">=")
        allowed[name] = versions.split(",")[0]
    assert set(oldest) == set(allowed)
    for name, version in oldest.items():
        assert f"{version}.".startswith(f"{allowed[name]}."), name


def test_documents_are_made_where_there_is_no_git(script_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "docs" / "source"
    shutil.copytree(ROOT / "docs" / "source", source, ignore=shutil.ignore_patterns("_format_auto_docs"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def main() -> None:
        # hdmf-docutils asks git for the commit where it makes the folder, and only there.
        assert (source / "_format_auto_docs").is_dir()

    generate = ModuleType("hdmf_docutils.generate_format_docs")
    generate.main = main
    monkeypatch.setitem(sys.modules, "hdmf_docutils", ModuleType("hdmf_docutils"))
    monkeypatch.setitem(sys.modules, "hdmf_docutils.generate_format_docs", generate)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    script_of(source / "conf.py").make_pages_of_the_schema(None)
    del sys.modules["conf_doc_autogen"]
