"""The settings and the shape of the apps tree: the only reader of stack files and of `pulumi.Config`.

Text that a person wrote flows in; typed, closed, checked values flow out. `stacks` continues from here in a run of
Pulumi, `ops.check` without one.
"""
