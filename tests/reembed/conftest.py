"""Jobs keep their index and logs in a state directory of the test's own."""

from __future__ import annotations

from tests.support.job_fixtures import clock, state, store

__all__ = ["clock", "state", "store"]
