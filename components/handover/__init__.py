"""The last step of Pulumi: Argo CD learns which folders of apps/ to sync, and which kinds they may contain."""
