"""What must hold for the objects that a stack gives to Argo CD, before any API server sees them.

Rendered objects of one stack come in as a `Scene`, findings with their places go out. `manifests.rules.register` lists
the rules and runs them; each is a pure generator, each id has a reason in `manifests.rules.why` and a scenario in
`tests/manifests/rules`. `ops.checking.validation` brings scenes and prints what was found.
"""
