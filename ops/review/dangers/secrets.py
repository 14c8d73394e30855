"""Dangers of secrets: their values, the stores that hold them, and the stack's own store.

A changed label is no danger: the fields that decide a value are compared. No value is part of a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from ops.review.dangers.context import ObjectPair, SettingsPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

SECRETS = {
    "": ("Secret",),
    "bitnami.com": ("SealedSecret",),
    "external-secrets.io": ("ExternalSecret", "ClusterExternalSecret", "PushSecret", "ClusterPushSecret"),
    "generators.external-secrets.io": ("ClusterGenerator", "Password", "SSHKey", "UUID"),
}
STORES = {"external-secrets.io": ("SecretStore", "ClusterSecretStore")}
BESIDE = ("apiVersion", "kind", "metadata", "status")


@rule(
    "secret-changed", reads="object", why="Programs that read the old value fail, or encrypt with a key that is lost."
)
@rule("store-changed", reads="object", why="Every secret that comes from the store changes or disappears.")
def secrets(subject: ObjectPair) -> Iterator[Danger]:
    """Yield secrets and stores that change or are lost."""
    group, kind = subject.kind
    for name, kinds in (("secret-changed", SECRETS), ("store-changed", STORES)):
        if kind not in kinds.get(group, ()):
            continue
        if subject.removal and subject.is_lost:
            reason = f"{subject.removal.fate}: {subject.removal.why}"
            yield Danger(rule=name, where=subject.where, reason=reason)
        elif subject.pair.operation == "changed":
            keys = sorted({*subject.before, *subject.after} - {*BESIDE}, key=str)
            changed = [key for key in keys if subject.before.get(key) != subject.after.get(key)]
            if changed:
                yield Danger(rule=name, where=subject.where, reason=f"{', '.join(map(str, changed))} changes")


@rule("secret-store-replaced", reads="settings", why="Every ExternalSecret of the stack reads another store.")
def replaced(subject: SettingsPair) -> Iterator[Danger]:
    """Yield another secret store, or another place in it."""
    before, after = (settings.platform.secret_store for settings in subject.settings)
    if before != after:
        names = type(after).model_fields.keys() | type(before).model_fields.keys()
        changed = sorted(name for name in names if getattr(before, name, None) != getattr(after, name, None))
        reason = f"{before.kind} before, {after.kind} after" if "kind" in changed else f"{', '.join(changed)} changes"
        yield Danger(rule="secret-store-replaced", where="platform.secretStore", reason=reason, file=subject.file)
