"""libFuzzer over the readers of files that people write, guided by the lines of config/ and manifests/ that run.

    python -m pip install --require-hashes --only-binary :all: --target .lab/fuzz -r tests/hostile/requirements-fuzz.txt
    PYTHONPATH=.lab/fuzz .venv/bin/python -m tests.hostile.fuzz SECONDS

`tests.hostile.test_fuzz` uses examples of hypothesis; this program mutates the files of `corpus/`. An input that
raises, or takes longer than five seconds or more than two gigabytes, is written to .lab/fuzz-found and the program
fails: it belongs into the corpus, together with the fix. `.ci/nightly` runs it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE.parents[1] / ".lab"
LONGEST, LARGEST, MEBIBYTES = 5, 4096, 2048


def main(seconds: int) -> None:
    """Fuzz for a while."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["config", "manifests"]):
        readers = importlib.import_module("tests.hostile.test_fuzz")
    found, fresh = WORK / "fuzz-found", WORK / "fuzz-corpus"
    for folder in (found, fresh):
        folder.mkdir(parents=True, exist_ok=True)
    limits = (f"-max_total_time={seconds}", f"-timeout={LONGEST}", f"-max_len={LARGEST}", f"-rss_limit_mb={MEBIBYTES}")
    # New inputs go into the first folder; the corpus of the repository is only read.
    atheris.Setup(
        [sys.argv[0], *limits, f"-artifact_prefix={found}/", str(fresh), str(HERE / "corpus")], readers.read_all
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]))
