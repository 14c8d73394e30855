"""Other hosts: the charts, remote bases, registries and tags that a tree names."""
