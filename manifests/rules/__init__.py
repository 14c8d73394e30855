"""Rules for the objects that a stack hands to Argo CD, checked before any API server sees them.

The rendered objects and the files of one stack come in as a `Scene`, findings go out. Each rule is a pure generator of
a scene: `@rule` registers it with its ids, their reasons and scopes, `manifests.rules.register` runs it; each id has
a scenario in `tests/manifests/rules`. `ops.checking.validation` makes the scenes and collects the problems.
"""
