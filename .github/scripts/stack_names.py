"""Print the names of all stack files as an output of a step: `stacks=["dev","homelab"]`."""

from __future__ import annotations

import json
import re
from pathlib import Path

FILE = re.compile(r"Pulumi\.([A-Za-z0-9_-]+)\.yaml")

if __name__ == "__main__":
    found = (FILE.fullmatch(path.name) for path in sorted(Path.cwd().glob("Pulumi.*.yaml")))
    print(f"stacks={json.dumps([one[1] for one in found if one], separators=(',', ':'))}")
