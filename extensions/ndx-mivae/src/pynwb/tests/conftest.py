from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from pynwb import NWBHDF5IO, NWBFile

HERE = Path(__file__).resolve().parent


def script(path: Path) -> ModuleType:
    """A script of this project as a module."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def script_of() -> Callable[[Path], ModuleType]:
    return script


@pytest.fixture(scope="session")
def make_fixture() -> ModuleType:
    """The script that writes fixtures: its sessions have every type, linked as in an annotated file."""
    return script(HERE / "back_compat" / "make_fixture.py")


@pytest.fixture
def annotated_file(make_fixture: ModuleType) -> NWBFile:
    return make_fixture.annotated_file()


@pytest.fixture
def written(annotated_file: NWBFile, tmp_path: Path) -> Path:
    path = tmp_path / "written.nwb"
    with NWBHDF5IO(str(path), "w") as writing:
        writing.write(annotated_file)
    return path


@pytest.fixture
def in_another_process(tmp_path: Path) -> Callable[[str], str]:
    """Run a program in a Python of its own; what it printed."""

    def run(program: str, first: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-c", first + textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def in_a_process_without_the_package(in_another_process: Callable[..., str]) -> Callable[[str], str]:
    """Run a program where importing ``ndx_mivae`` fails; what it printed."""
    return lambda program: in_another_process(program, 'import sys; sys.modules["ndx_mivae"] = None\n')
