"""Stand-ins for the provider plugins: executables in `bin/` that the engine finds on the PATH and connects to by gRPC.

The engine's requests come in, the answers of the official plugins go out: the same outputs, the same refusals, the same
URNs. `lab.plugins.properties` and `lab.plugins.schema` handle values and types without the engine, `lab.plugins.base`
makes a plugin from a few kinds, `lab.plugins.server` serves the engine. Each package is one module on top of them:
`lab.plugins.command`, `lab.plugins.tls`, `lab.plugins.random` and those of the hardware and the cluster.
"""
