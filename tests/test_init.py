from __future__ import annotations

import json
import subprocess
import sys

import pytest

import nwb_mivae

HEAVY = {"torch", "pynwb", "hdmf", "h5py", "pandas", "matplotlib", "scipy", "dandi", "spikeinterface", "numpy"}


def loaded_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import nwb_mivae; nwb_mivae.__version__; dir(nwb_mivae)") & HEAVY


@pytest.mark.parametrize(
    "command",
    ["", "simulate", "inspect", "prepare", "train", "evaluate", "attribute", "annotate", "report", "demo"],
)
def test_help_loads_nothing_heavy(command: str):
    arguments = [*command.split(), "--help"]
    statement = (
        "import contextlib, io\nfrom nwb_mivae.cli.main import main\n"
        f"import sys; sys.argv = ['nwb-mivae', *{arguments!r}]\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code, end.code\n"
        "assert 'Usage' in out.getvalue(), out.getvalue()"
    )
    assert not loaded_by(statement) & HEAVY


def test_every_public_noun_is_there_and_listed():
    for name in nwb_mivae.__all__:
        assert getattr(nwb_mivae, name) is not None
        assert name in dir(nwb_mivae)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        nwb_mivae.fitt  # noqa: B018
