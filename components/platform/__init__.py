"""The services that the cluster offers to applications: CRDs, CNI, certificates, secrets, Argo CD.

Each part seeds its folder of apps/ once, as Argo CD would apply it, so that Argo CD adopts the objects afterwards and
Git owns them from then on. Pulumi owns only objects that nothing else can make: namespaces, secret zero, repository
credentials.
"""
