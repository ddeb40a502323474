"""The doctor: faults in the rows of the open store, and their fixes."""
