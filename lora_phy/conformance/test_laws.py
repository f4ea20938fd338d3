"""The laws, one test each: ``pytest --pyargs lora_phy.conformance --modem MODULE``; without it, our own modem."""

from __future__ import annotations

import pytest

from lora_phy.conformance.adapter import Adapter, load_adapter
from lora_phy.conformance.laws import EXAMPLES, LAWS, Law, run_law


@pytest.fixture(scope="session")
def modem(request: pytest.FixtureRequest) -> Adapter:
    """The modem under test."""
    return load_adapter(request.config.getoption("--modem", default=None) or "lora_phy")


@pytest.fixture(scope="session")
def examples(request: pytest.FixtureRequest) -> int:
    """Inputs tried for each law."""
    return int(request.config.getoption("--modem-examples", default=None) or EXAMPLES)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_law(law: Law, modem: Adapter, examples: int) -> None:
    """A law holds for the modem."""
    missing = modem.missing(law.needs)
    if missing:
        pytest.skip(f"{modem.name} has no {', '.join(missing)}")
    try:
        run_law(law, modem, examples=examples)
    except Exception as error:
        error.add_note(f"The law: {law.statement}")
        raise
