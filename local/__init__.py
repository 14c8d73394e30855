"""Services of the machine: the user's cache, private files, and processes.

`local.cache` returns the folder that all runs share and locks its entries, `local.files` writes private files,
`local.process_table` reads facts of processes, and `local.termination` ends them. The rooms above continue from here.
"""
