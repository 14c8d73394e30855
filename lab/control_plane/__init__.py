"""The rehearsed control plane: real etcd, API server, controller manager and scheduler, and kwok, as processes.

`lab.control_plane.kubernetes` starts them, `lab.control_plane.flags` makes their arguments from a machine
configuration, and `lab.control_plane.certificates` signs their certificates.
"""
