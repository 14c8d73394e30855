"""What the machine and the Proxmox hosts lack."""
