"""Types and pure functions that every layer shares. Imports nothing of ours but ``process``."""
