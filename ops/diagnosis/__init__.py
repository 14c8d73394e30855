"""The requirements that this machine and the Proxmox hosts do not meet."""
