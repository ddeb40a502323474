"""The Jobs place."""
