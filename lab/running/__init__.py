"""The processes of a rehearsal: servers that outlive their starter, and the proxy that is their only way out.

`lab.running.servers` starts and stops them, each under one of `lab.running.locks`; `lab.running.proxy` refuses every
host but those of the rehearsal.
"""
