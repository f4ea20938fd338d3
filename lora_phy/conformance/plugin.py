"""The ``--modem`` option of pytest. Registered by an entry point, so it imports nothing."""

from __future__ import annotations

from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Declare the kit's options."""
    group = parser.getgroup("lora_phy.conformance", "LoRa conformance kit")
    group.addoption("--modem", metavar="MODULE", default=None, help="module under test; default: lora_phy")
    group.addoption(
        "--modem-examples", type=int, default=None, metavar="N", help="inputs tried for each law; default: 25"
    )
