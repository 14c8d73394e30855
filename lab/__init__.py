"""Rehearsal, apart: the whole program run on the machine at hand, from outside and without knowing it.

What flows in is a stack's generated artifacts (a machine configuration, manifests, a Git tree); what flows out are
servers on loopback that a person can use, all of them under one folder, `lab.layout.Lab`. `lab.running.servers` keeps
the servers, `lab.control_plane.kubernetes` makes a Kubernetes control plane of a machine configuration,
`lab.api` talks to it. `ops` continues from here.
"""
