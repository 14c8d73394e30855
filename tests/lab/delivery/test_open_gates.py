"""A rehearsal has neither windows nor signatures, and every other line of the stack file."""

from __future__ import annotations

import pytest

from config.load import read_stack
from lab.delivery.open_gates import opened
from tests.config.scenario import CHECKOUT

FILE = CHECKOUT / "Pulumi.base.yaml"
BLOCK = """
      signatures: required # by one of us
      signingKeys: [4AEE18F83AFDEB23]
      windows: # at night
        - {kind: allow, schedule: "0 2 * * *", duration: 4h}

        - kind: deny
          schedule: 0 0 24 dec ?
          duration: 1d # Christmas
      # below
      sync: manual
"""
OPEN = """
      signatures: none # by one of us
      signingKeys: [4AEE18F83AFDEB23]
      windows: # at night
        []
      sync: manual
"""
FLOW = '{windows: [{kind: allow, schedule: "0 2 * * *", duration: 4h}], sync: manual, signatures: "required"}\n'


@pytest.mark.parametrize(
    ("written", "expected", "keys"),
    [
        (BLOCK, OPEN, ["windows", "signatures"]),
        (FLOW, "{windows: [], sync: manual, signatures: none}\n", ["windows", "signatures"]),
        ("{sync: manual, approval: required}\n", "{sync: manual, approval: required}\n", []),
    ],
)
def test_windows_and_signatures_leave_a_rehearsal(written: str, expected: str, keys: list[str]) -> None:
    head = f"{FILE.read_text(encoding='utf-8')}    gates: "
    gates = read_stack(FILE, f"{head}{written}".encode()).require().delivery.gates
    text, replaced = opened(f"{head}{written}", gates)
    assert text == f"{head}{expected}"
    assert [what for what, _, _ in replaced] == [f"delivery.gates.{key}" for key in keys]
    found = read_stack(FILE, text.encode()).require().delivery.gates
    assert (found.windows, found.signatures, found.sync) == ((), "none", "manual")
