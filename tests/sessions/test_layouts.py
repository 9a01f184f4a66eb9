"""Every layout of the field guide, oddities included, read, aligned and prepared, and compared with its truth.

What is compared is in :mod:`tests.layouts.checks`, what is expected of each layout in :mod:`tests.layouts.cases`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layouts.cases import CASES, Case
from tests.layouts.checks import CHECKS, Reading, checks_of

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.key, marks=[pytest.mark.slow] if case.slow else []) for case in CASES]
)
def test_layout(case: Case, tmp_path: Path, subtests: pytest.Subtests) -> None:
    with Reading(case, tmp_path) as reading:
        for check in checks_of(case):
            with subtests.test(check):
                told = CHECKS[check](reading)
                assert told.startswith(("ok", "refused", "not in the file"))


def test_every_case_has_a_name_of_its_own() -> None:
    keys = [case.key for case in CASES]
    assert len(set(keys)) == len(keys)


def test_every_dandiset_of_the_field_guide_is_there() -> None:
    keys = " ".join(case.key for case in CASES if case.main)
    for dandiset in (
        "000728", "000711", "000402", "000037", "000336", "000871", "000036", "001768", "000039", "000049", "000021",
        "000248", "Brain Observatory v1",
    ):  # fmt: skip
        assert dandiset in keys
