"""Runs of Pulumi's engine: from checked settings to an outcome, with nothing left behind."""
