"""The last thing that Pulumi does: say to Argo CD which folders of apps/ to keep in sync, and what they may do."""
