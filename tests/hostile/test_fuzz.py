"""No bytes of a checkout raise, hang or end the process: each reader returns or rejects.

hypothesis writes files that look like YAML, kustomizations and settings; earlier findings are in `corpus/`. The
hour of .ci/nightly sets HOMELAB_FUZZ to the number of examples.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import secret_patterns
from config.leaks import leaks
from config.load import read_stack
from config.source import parse
from config.tree import read_tree
from manifests import boundary, kubernetes_yaml
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.redact import redacted

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
EXAMPLES = int(os.environ.get("HOMELAB_FUZZ", "500"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
SIGNS = st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"\n\t #,%@0.?~=/<$\\"), max_size=200)
WORDS = st.sampled_from(
    [*boundary.KEYS, "Secret", "password", "kind", "x", "../x", "/etc", "http://localhost", "{{ .x }}", "ENC[", "1e999"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
TEXTS = SIGNS | VALUES.map(lambda value: str(yaml.safe_dump(value))) | st.lists(WORDS, max_size=30).map(": ".join)
RAW = st.binary(max_size=300) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))


def read_all(raw: bytes) -> None:
    """Pass bytes to each reader of hand-written files."""
    parse(raw, "apps/media/x/a.yaml")
    for name in ("apps/media/x/a.yaml", "apps/media/x/.env", "Pulumi.dev.yaml"):
        leaks(raw, name)
    text = raw.decode("utf-8", errors="replace")
    secret_patterns.hide(text, lambda value: "(covered)")
    try:
        documents = kubernetes_yaml.documents(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        documents = []
    for document in documents:
        if isinstance(document, dict):
            redacted(document)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        app = root / "apps/media/x"
        app.mkdir(parents=True)
        for file in ("Pulumi.dev.yaml", "apps/media/category.yaml", "apps/media/x/kustomization.yaml"):
            (root / file).write_bytes(raw)
        assert read_stack(root / "Pulumi.dev.yaml").name == "dev"
        read_tree(root)
        contents_of(CheckoutReader(root), "apps/media/x")
        (app / "kustomization.yaml").rename(app / "Chart.yaml")
        (app / "Chart.lock").write_bytes(raw)
        contents_of(CheckoutReader(root), "apps/media/x")


@FUZZ
@given(RAW)
def test_no_bytes_raise(raw: bytes) -> None:
    read_all(raw)


@pytest.mark.parametrize("file", CORPUS, ids=lambda path: path.name)
def test_inputs_that_once_failed_do_not_fail_again(file: Path) -> None:
    read_all(file.read_bytes())


def test_the_nightly_fuzzer_reads_this_corpus_with_these_readers() -> None:
    assert CORPUS
    program = (Path(__file__).parent / "fuzz.py").read_text(encoding="utf-8")
    assert 'import_module("tests.hostile.test_fuzz")' in program
    assert 'HERE / "corpus"' in program
    assert "tests.hostile.fuzz 3600" in (Path(__file__).parents[2] / ".ci/nightly").read_text(encoding="utf-8")
