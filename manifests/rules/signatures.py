"""Keys of required signatures: Argo CD must have each of them before it verifies a commit.

The objects of a stack come in, problems of its stack file go out.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.rules import rule
from errors import Problem
from manifests.fields import mapping
from manifests.rules.stack_objects import StackObjects

NAMESPACE, KEYS = "argocd", "argocd-gpg-keys-cm"
ID_DIGITS = 16


@rule(
    "signing-key-absent",
    scope="stack",
    why="Argo CD would refuse every commit that the key has signed, also the one that brings the key.",
)
def keys(objects: StackObjects) -> Iterator[Problem]:
    """Require the key of each id in `delivery.gates.signingKeys` where signatures are required."""
    stack = next((one.stack for one in objects.folders), None)
    gates = stack.settings.delivery.gates if stack and stack.settings else None
    if stack is None or gates is None or gates.signatures == "none" or not objects.whole:
        return
    listed = [one for one in objects.of("ConfigMap") if (one.namespace, one.name) == (NAMESPACE, KEYS)]
    held = {str(key)[-ID_DIGITS:].upper() for one in listed for key in mapping(one.item, "data")}
    for index, key in enumerate(gates.signing_keys):
        if key not in held:
            rule = f"is no entry of the ConfigMap {KEYS} that this stack applies"
            fix = f"add the output of `gpg --armor --export {key}` to it in apps/system/argocd/{objects.environment}"
            path = ("delivery", "gates", "signingKeys", index)
            yield stack.places.problem("signing-key-absent", path, key, rule, fix)
