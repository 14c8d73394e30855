"""The pinned programs: their table, the lookup, and the download or build of a missing one."""
