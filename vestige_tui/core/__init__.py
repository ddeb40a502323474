"""Types and pure functions that every layer shares. Imports no other package of this program but ``process``."""

import logging

# A program that imports this one decides about its log itself; without a handler, warnings would go to stderr.
logging.getLogger("vestige_tui").addHandler(logging.NullHandler())
