"""Long work: the ledger that keeps it, the worker processes that do it, and how a console watches them."""
