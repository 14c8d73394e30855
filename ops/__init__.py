"""The operator's hand: one module per `./homelab` verb.

A verb reads what the person asked for, lets `lab`, `manifests` and `config` do the work and prints for people. The
table of verbs is `ops.verbs`; what they print goes through `ops.terminal`.
"""
