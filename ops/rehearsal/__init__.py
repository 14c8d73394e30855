"""What a rehearsal needs beyond a real run: the way in, plugins, charts, remote bases and Git."""
