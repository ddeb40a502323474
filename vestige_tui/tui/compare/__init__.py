"""The page that compares the store at two moments."""
