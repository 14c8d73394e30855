"""Rehearsal, apart: the whole program run on this machine, from outside and without knowledge of it.

A stack's generated artifacts come in (a machine configuration, manifests, a Git tree); servers on loopback go out, all
of them in one folder, `lab.layout.Lab`. `lab.running.servers` runs them, `lab.control_plane.kubernetes` makes a
Kubernetes control plane from a machine configuration, `lab.api` is its client. `ops` continues from here.
"""
