"""Page of the domains: a list of them, and the memories in and near the one under the cursor."""
