"""The journal page: all changes of the store."""
