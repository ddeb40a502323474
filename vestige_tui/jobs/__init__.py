"""Jobs: their ledger, the worker processes that run them, and the monitor that a console watches."""
