"""What holds for the whole repository: who imports whom, what is never committed, and that the documents are true."""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nwb_mivae"

#: The order of docs/design/contracts.md: each may import those before it, never those after it.
FOUNDATION = ("errors", "configuration", "outputs", "result_file", "provenance", "run")
ROOMS = (
    "archive",
    "sessions",
    "alignment",
    "clips",
    "model",
    "training",
    "inference",
    "evaluation",
    "attribution",
    "annotation",
    "report",
    "mivae",
    "pipeline",
    "cli",
)
#: Simulation stands apart: it may import these, and only the last two rooms may import it.
SIMULATION_MAY_IMPORT = ("errors", "configuration", "outputs", "provenance")
MAY_IMPORT_SIMULATION = ("pipeline", "cli")

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which room it comes from"
            assert node.module is not None
            if node.module == "nwb_mivae":
                yield from (f"nwb_mivae.{alias.name}" for alias in node.names)
            else:
                yield node.module


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("nwb_mivae.")} - {room_of(path)}


def test_every_room_is_in_the_order_and_the_order_in_the_contract() -> None:
    known = {*FOUNDATION, *ROOMS, "simulation"}
    assert {room_of(path) for path in modules()} <= known
    contract = (ROOT / "docs" / "design" / "contracts.md").read_text(encoding="utf-8")
    order = contract[contract.index("```") : contract.index("simulation/ imports")]
    places = [order.index(f"{room}.py" if room == "mivae" else f"{room}/") for room in ROOMS]
    assert places == sorted(places)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    if room in FOUNDATION:
        allowed = set(FOUNDATION)
    elif room == "simulation":
        allowed = set(SIMULATION_MAY_IMPORT)
    else:
        allowed = {*FOUNDATION, *ROOMS[: ROOMS.index(room)]}
        if room in MAY_IMPORT_SIMULATION:
            allowed.add("simulation")

    assert rooms_imported(path) <= allowed


@pytest.mark.parametrize(
    ("libraries", "rooms"),
    [
        # Only these open, check or write NWB files; everyone else is handed sessions, stores and results.
        (("pynwb", "hdmf", "h5py"), ("archive", "sessions", "annotation", "simulation", "pipeline")),
        (("dandi", "nwbinspector", "requests", "remfile"), ("archive",)),
        (("spikeinterface", "av"), ("sessions",)),
        (("matplotlib",), ("report",)),
        (("lightning_fabric", "lightning"), ("training",)),
        (("skimage", "sklearn"), ("simulation",)),
        (("typer", "rich"), ("cli",)),
    ],
    ids="-".join,
)
def test_libraries_stay_in_their_rooms(libraries: tuple[str, ...], rooms: tuple[str, ...]) -> None:
    found = {room_of(path) for path in modules() for name in imports(path) if name.split(".")[0] in libraries}

    assert found <= set(rooms)


def test_nothing_is_unpickled_or_evaluated() -> None:
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            where = f"{path.relative_to(ROOT)}:{node.lineno}: {called}"
            assert called not in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "joblib.load"), where
            if called in ("np.load", "numpy.load"):
                assert "allow_pickle=True" not in ast.unparse(node), where
            if called == "torch.load":
                assert "weights_only=True" in ast.unparse(node), where


# --- what is committed ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so nothing says which files are committed")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


#: In pieces, so that this file does not find itself.
PRIVATE = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:root|home/\w+|Users/\w+)/",
            "/opt" + r"/(?:wheels|pypi)",
            "/work" + "/main",
            "python" + "hosted",
            "pypi" + r"\.org/simple",
            "index" + "-url",
            "find" + "-links",
        ]
    )
)


def test_no_committed_file_names_this_machine_or_a_registry(tracked: list[Path]) -> None:
    for path in tracked:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            assert not PRIVATE.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_no_committed_file_holds_a_token(tracked: list[Path]) -> None:
    token = re.compile(r"(?:API_KEY|TOKEN|PASSWORD)\s*=\s*['\"]?[0-9a-f]{20,}", re.IGNORECASE)
    for path in tracked:
        assert not token.search(path.read_text(encoding="utf-8", errors="ignore")), path


def test_no_real_file_was_copied_into_the_project(tracked: list[Path], real_data: Path) -> None:
    stated = set(re.findall(r"`([0-9a-f]{64})`", (real_data / "PROVENANCE.md").read_text(encoding="utf-8")))
    assert stated

    for path in tracked:
        assert hashlib.sha256(path.read_bytes()).hexdigest() not in stated, path


def test_no_committed_file_is_large(tracked: list[Path]) -> None:
    for path in tracked:
        assert path.stat().st_size < 1_000_000, path


# --- packaging ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(project: dict[str, Any]) -> dict[str, str]:
    """Name and range of everything either distribution asks for, extras included."""
    texts = list(project["project"]["dependencies"])
    for extra in project["project"].get("optional-dependencies", {}).values():
        texts += extra
    pairs = [re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", text) for text in texts]
    return {normalised(pair[1]): pair[2] for pair in pairs if pair is not None}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(separator == "==" for _, separator, _ in found)
    return {normalised(name): version for name, _, version in found}


def test_the_version_is_the_same_everywhere(project: dict[str, Any]) -> None:
    version = project["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    newest = re.search(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == version
    assert str(citation["version"]) == version
    assert citation["license"] == project["project"]["license"] == "BSD-3-Clause"


def test_everything_required_is_pinned_and_the_pin_lies_in_the_range(project: dict[str, Any]) -> None:
    from packaging.specifiers import SpecifierSet

    extension = tomllib.loads((ROOT / "extensions" / "ndx-mivae" / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [*required(project).items(), *required(extension).items()]
    exact = {**pins(), "ndx-mivae": extension["project"]["version"]}
    for name, specifiers in asked:
        assert name in exact, f"{name} is required and not in constraints.txt"
        assert exact[name] in SpecifierSet(specifiers), f"{name}: {exact[name]} is not {specifiers}"


#: Distributions whose package has another name.
DISTRIBUTION_OF = {"PIL": "pillow", "yaml": "pyyaml", "skimage": "scikit-image", "sklearn": "scikit-learn"}


def names_of(texts: list[str]) -> set[str]:
    return {normalised(re.match(r"[A-Za-z0-9_.-]+", text)[0]) for text in texts}  # type: ignore[index]


def third_party_in(paths: Iterable[Path]) -> set[str]:
    tops = {name.split(".")[0] for path in paths for name in imports(path)} - {"nwb_mivae", "tests", "__future__"}
    return {normalised(DISTRIBUTION_OF.get(top, top)) for top in tops - set(sys.stdlib_module_names)}


def test_what_is_imported_is_required_and_what_is_required_is_imported(project: dict[str, Any]) -> None:
    required_always = names_of(project["project"]["dependencies"])
    extras = {key: names_of(texts) for key, texts in project["project"]["optional-dependencies"].items()}
    in_simulation = [path for path in modules() if room_of(path) == "simulation"]
    elsewhere = third_party_in(path for path in modules() if room_of(path) != "simulation")

    # The two extras that add a format and a kind of result are imported where they are asked for.
    assert elsewhere == required_always | extras["zarr"] | extras["pynapple"]
    # Its photographs are found, not imported, in two more packages.
    assert third_party_in(in_simulation) <= required_always | extras["simulation"]
    assert extras["simulation"] - {"scikit-image", "scikit-learn"} <= third_party_in(in_simulation)
    tests = third_party_in((ROOT / "tests").rglob("*.py"))
    assert tests <= required_always.union(*extras.values())

    folder = ROOT / "extensions" / "ndx-mivae"
    extension = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = third_party_in((folder / "src" / "pynwb" / "ndx_mivae").rglob("*.py"))
    assert package - {"ndx-mivae"} == names_of(extension["dependencies"])


def test_the_traps_of_the_resolver_stay_shut(project: dict[str, Any]) -> None:
    asked, exact = required(project), pins()

    assert exact["torch"] == "2.13.0", "without a local label, or no other machine could install it"
    assert exact["zarr"].startswith("2.18.")
    assert "zarr" not in asked or "<3" in asked["zarr"]
    assert "lightning" not in asked
    for name in ("dandi", "spikeinterface"):
        assert ">=" in asked[name], f"without a lower bound a resolver may silently take an old {name}"


def test_continuous_integration_runs_what_a_developer_runs() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert "make test" in text


# --- documents ------------------------------------------------------------------------------------------------------


def blocks(path: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for _, block in found]


def commands_in(path: Path) -> list[list[str]]:
    """Every call of ``nwb-mivae`` in a document's console blocks and inline code, as words."""
    text = path.read_text(encoding="utf-8")
    console = "\n".join(blocks(path, "console") + blocks(path, "bash")).replace("\\\n", " ")
    inline = "\n".join(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))
    lines = [line.strip().removeprefix("$ ") for line in (console + "\n" + inline).splitlines()]
    return [line.split("#")[0].split() for line in lines if re.match(r"nwb-mivae\s+\w", line)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    import typer.main

    from nwb_mivae.cli.main import application

    known = typer.main.get_command(application).commands  # type: ignore[attr-defined]
    for words in commands_in(path):
        assert words[1] in known, " ".join(words)
        options = {option for parameter in known[words[1]].params for option in parameter.opts} | {"--help", "-h"}
        for word in words[2:]:
            if word.startswith("-") and not re.match(r"-\d", word):
                assert word.split("=")[0] in options, " ".join(words)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_settings_in_documents_are_accepted(path: Path) -> None:
    from nwb_mivae.pipeline import PipelineConfiguration
    from nwb_mivae.sessions.conventions import Conventions

    for block in blocks(path, "yaml"):
        values = yaml.safe_load(block)
        # What a file named in `sessions.conventions` holds has no key in common with the settings of a run.
        kind = Conventions if values.keys() <= Conventions.model_fields.keys() else PipelineConfiguration
        kind.from_mapping(values)
    for words in commands_in(path):
        settings = [value for option, value in itertools.pairwise(words) if option == "--set"]
        PipelineConfiguration().changed(settings)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_in_documents_names_what_exists(path: Path) -> None:
    import importlib

    import nwb_mivae

    for block in blocks(path, "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nm":
                assert hasattr(nwb_mivae, node.attr), f"nm.{node.attr}"
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nwb_mivae"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_targets_of_make_and_links_in_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
        assert target in targets
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in link:
            assert (path.parent / link).exists(), link


def test_the_readme_shows_the_two_commands_and_every_command_of_the_program() -> None:
    import typer.main

    from nwb_mivae.cli.main import application

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme
    shown = {words[1] for words in commands_in(ROOT / "README.md")}
    assert set(typer.main.get_command(application).commands) <= shown  # type: ignore[attr-defined]


def test_the_reference_names_every_setting_group_and_every_public_name() -> None:
    import nwb_mivae
    from nwb_mivae.pipeline import PipelineConfiguration

    reference = (ROOT / "docs" / "reference" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| `nwb_mivae\.", reference, re.MULTILINE)
    assert set(rows) == set(PipelineConfiguration.model_fields)
    public = set(nwb_mivae.__all__) - {"__version__", "Session", "ClipStore"}
    assert public == {name for name in re.findall(r"`nm\.(\w+)`", reference) if name in public}
