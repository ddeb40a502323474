"""Encoders keep what they note in a state directory of the test's own."""

from __future__ import annotations

from tests.support.job_fixtures import state

__all__ = ["state"]
