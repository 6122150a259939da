"""The conformance cases that all client libraries share."""

import os
import re
import warnings

import pytest

from conftest import GIVEN, KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_given_all_cases_pass(kind, given_cases):
    if not given_cases:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the conformance cases are not in {GIVEN}")
        warnings.warn(f"the conformance cases are not in {GIVEN}: they are not played", stacklevel=1)
        pytest.skip(f"the conformance cases are not in {GIVEN}")
    output = given_cases[kind].finish()
    summary = re.search(r"(\d+) passed, (\d+) failed, 0 skipped", output)
    assert summary is not None, output
    assert int(summary.group(1)) >= 81 and summary.group(2) == "0", output
