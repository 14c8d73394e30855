"""Components, which turn their own arguments into resources.

Arguments flow in from `stacks`, resources flow out to the engine. Decisions stand in pure modules beside the resources:
they import no Pulumi and are tested by tables. No component imports another.
"""
