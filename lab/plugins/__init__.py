"""Stand-ins for the provider plugins: executables in `bin/` that the engine finds on the PATH and speaks gRPC with.

What flows in are the engine's requests, what flows out is what the official plugins would answer: the same outputs, the
same refusals, the same URNs. `lab.plugins.properties` and `lab.plugins.schema` know values and types without the
engine, `lab.plugins.base` makes a plugin of a handful of kinds, `lab.plugins.server` speaks with the engine. One module
a package stands on them: `lab.plugins.command`, `lab.plugins.tls`, `lab.plugins.random` and those of the hardware and
the cluster.
"""
