"""Shared fixtures: where the conformance data lie, and deterministic property tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# The same examples in every run: a property test is a test, not a lottery. `--hypothesis-profile=explore` draws anew.
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--iq-dir", type=Path, help="folder of real SigMF captures for the receiver to decode")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; a test that needs it skips where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data folder {SHARED.name!r} is not beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The small vectors inside the repository."""
    return ROOT / "tests" / "vectors"
