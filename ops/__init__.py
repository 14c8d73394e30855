"""The verbs of `./homelab`, one module each, and below them the wings that do their work.

A verb reads its options, calls the wings and the rooms below, and returns a result (`ops.result`). `ops.verbs` lists
the verbs; `ops.__main__` runs one and prints its result. `ops.terminal` formats text.
"""
