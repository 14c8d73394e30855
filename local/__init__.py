"""Services of the machine: the user's cache, private files, and the table of processes.

`local.cache` returns the folder that all runs share, `local.files` writes private files, and `local.process_table`
reads which processes are alive. All rooms above continue from here.
"""
