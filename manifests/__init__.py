"""From a folder of apps/ or environments/ to the objects that Argo CD would read there.

What flows in is a checkout, the names of folders and where charts and remote bases lie on this machine; what flows out
is Kubernetes objects as plain dicts, or problems with their files. Nothing here reaches a network but the steps that
are named `fetch`. `ops` continues with checks and previews, `lab` vendors charts into the tree it serves.
"""
