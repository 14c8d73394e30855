"""The promotion of apps and of infrastructure along the chain of environments.

A checkout, its chain and the state of the source environment come in, commits on a branch go out. `plan` decides what
moves and what is refused, `history` reads in Git which contents a commit has, `evidence` what the source environment
runs, `commits` writes. `ops.promote` calls them.
"""
