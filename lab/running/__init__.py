"""The processes of a rehearsal: servers that outlive their starter, and the proxy that is their only way out.

`lab.running.servers` starts and stops them, each under one of `lab.running.locks`, and removes the folder of
`lab.running.sockets`; `lab.running.proxy` refuses every host but those of the rehearsal.
"""
