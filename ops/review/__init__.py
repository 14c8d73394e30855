"""The report on a change: everything that it will do, from the merge base to the working tree."""
