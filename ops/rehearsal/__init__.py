"""The parts of a rehearsal that a real run does not need: its start, plugins, charts, remote bases and Git."""
