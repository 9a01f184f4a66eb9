"""Which code figures come from: a digest that comments and docstrings do not change."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

__all__ = ["JUDGING", "OF_ANIMALS", "TRAINING", "code_digest"]

_ROOT = Path(__file__).resolve().parents[3]
#: What the weights depend on, what figures of given weights depend on, and what the animals alone do.
TRAINING = ("nwb_mivae/clips", "nwb_mivae/model", "nwb_mivae/training")
JUDGING = (*TRAINING, "nwb_mivae/inference", "nwb_mivae/evaluation", "tests/benchmarks/alignment")
OF_ANIMALS = ("nwb_mivae/clips", "nwb_mivae/evaluation", "nwb_mivae/simulation", "tests/benchmarks/alignment")
#: These show figures and change none.
_WITHOUT_EFFECT = ("__main__.py", "page.py", "results.py")


def code_digest(folders: tuple[str, ...]) -> str:
    """SHA-256 over the syntax trees of the modules in these folders of the repository, without their docstrings."""
    return hashlib.sha256("".join(map(_digest_of_folder, folders)).encode()).hexdigest()


@cache
def _digest_of_folder(folder: str) -> str:
    digest = hashlib.sha256()
    for path in sorted((_ROOT / folder).glob("*.py")):
        if path.name in _WITHOUT_EFFECT:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(path.relative_to(_ROOT).as_posix().encode() + ast.dump(tree).encode())
    return digest.hexdigest()
