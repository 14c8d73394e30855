"""What we want: the only reader of the stack files, of `pulumi.Config` and of the shape of the apps tree.

What flows in is text that a person wrote; what flows out is typed, closed, checked values. `stacks` continues from
here in a run of Pulumi, `ops.check` without one.
"""
