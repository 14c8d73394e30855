"""Stand-ins: charts, remote bases and CRDs that are used where the real ones are not in the user's cache.

`standins.charts` makes charts of the descriptions in `standins/data/charts`, `standins.bases` and `standins.crds` read
the folders of pinned tools, and `standins.facts` keeps the values and objects of real charts to compare with. `check`
and rehearsals use them through the protocols of `manifests.sources`.
"""
