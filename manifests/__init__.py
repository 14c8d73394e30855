"""From a folder of apps/ to the objects that Argo CD would read there.

A checkout, the names of folders, and sources of charts and remote bases come in; Kubernetes objects as plain dicts go
out, or problems with their files. Only functions named `fetch` reach a network. `ops` continues with checks and
previews, `lab` puts charts into the tree that it serves.
"""
