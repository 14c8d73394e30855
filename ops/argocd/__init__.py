"""The cluster as Argo CD sees it: a client, the state of the Applications, and syncs."""
