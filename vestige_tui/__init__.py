"""A terminal console for the memory stores of AI agents."""

__version__ = "0.1.0"
