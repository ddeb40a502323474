"""Types and pure functions that every layer shares. Imports no other package of this program but ``process``."""
