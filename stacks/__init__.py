"""In which order: the story of a stack on one screen, and the providers it is told with.

Checked settings flow in from `config`, outputs flow out to the engine. The only place where one component's outputs
become another's arguments.
"""
