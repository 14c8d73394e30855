"""The simulated hardware: Proxmox hosts, their permissions, VMs, and the Talos nodes on them.

`lab.hardware.rack` stores VMs and nodes on the hosts of `lab.hardware.hosts`; `lab.hardware.talos_node` and
`lab.hardware.talosctl` act for the nodes, `lab.hardware.kubelets` registers them with Kubernetes.
"""
