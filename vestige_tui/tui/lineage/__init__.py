"""The page of the lineage of a memory."""
