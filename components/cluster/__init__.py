"""The Talos cluster: secrets, machine configuration, bootstrap, health, upgrades, kubeconfig."""
