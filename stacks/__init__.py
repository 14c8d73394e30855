"""The order in which a stack is made, and the providers that it is made with.

Checked settings flow in from `config`, outputs flow out to the engine. The only place where one component's outputs
become another's arguments.
"""
