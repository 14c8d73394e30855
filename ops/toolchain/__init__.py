"""The pinned programs: which there are, where each is, and how a missing one is downloaded or built."""
