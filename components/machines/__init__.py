"""Talos images and VMs on Proxmox VE."""
