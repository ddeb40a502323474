"""Page of the users of a store."""
