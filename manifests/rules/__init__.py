"""Rules for the objects that a stack hands to Argo CD, checked before any API server sees them.

The rendered objects and the files of one stack come in as `StackObjects`, findings go out. Each rule is a generator of
them: `@rule` registers it with its ids, their reasons and scopes, `manifests.rules.register` runs it; each id has
a scenario in `tests/manifests/rules`. `ops.checking.validation` renders the objects and collects the problems.
"""
