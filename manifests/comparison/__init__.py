"""Differences between two renders of one app, for a reader: no cluster and no Git takes part."""
