"""Model runtime: the one door to fastembed, onnxruntime and the client of the model hub, with their telemetry off.

onnxruntime reads its switch when it is imported: it writes a device id and a queue of events into the home directory,
and looks up a server for them. So no other module imports these libraries.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Literal, TypeAlias

NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Environment that turns telemetry off in these libraries; processes that this one starts inherit it."""

Library: TypeAlias = Literal["fastembed", "fastembed.common.model_description", "huggingface_hub.constants"]


def library(name: Library) -> Any:
    """Import a module of the model runtime, which sends nothing and keeps no record of its use."""
    runtime = sys.modules.get("onnxruntime")
    if runtime is not None and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        runtime.disable_telemetry_events()  # a host program imported it first: its events end here
    os.environ.update(NO_TELEMETRY)
    return import_module(name)
