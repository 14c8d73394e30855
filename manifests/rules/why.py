"""Why each rule for rendered objects exists, by its id: what `config.why` is for settings.

A test keeps it complete in both directions: every id here has a scenario that breaks it, and no message carries an id
that is not here. docs/reference/checks.md is made from all registers.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.why import WHY as OF_SETTINGS
from manifests.why import WHY as OF_RENDERS

WHY: Mapping[str, str] = {
    "api-removed": "The API server has no such kind any more; the sync would fail for ever.",
    "backup-together": "Each copy reads a whole volume: all in the same minute would slow every disk.",
    "base-by-tag": "A tag can be moved and a release's file replaced: Argo CD would apply content without a review.",
    "budget-blocks": "A node whose pod may not leave can be neither upgraded nor repaired.",
    "budget-missing": "Without one a drain may take all replicas at once, and then why have two.",
    "ceph-full": "Every volume binds, whatever there is; at the last percents all writes of all apps stop.",
    "cluster-kind-undeclared": "Its project refuses what the category does not declare, in the middle of a sync.",
    "config-hashed": "Each change would leave an old ConfigMap behind; one convention holds everywhere.",
    "config-not-reloaded": "The change would be Synced and Healthy, and nobody would have read it.",
    "data-unprotected": "A renamed folder must not cost the photographs.",
    "database-alone": "The replica would wait for ever, and the first failed node takes the database with it.",
    "digest-differs": "A commit or program that its version does not mean was swapped, here or at its publisher.",
    "egress-open": "An intruder from outside would stand before Proxmox, the router, Talos and the API server.",
    "entry-declared-twice": "One entry has one value: made at random for one app, it would be wrong for the other.",
    "entry-malformed": "`./homelab secrets` could not tell where the value comes from.",
    "entry-twice": "Bitwarden answers a burst of questions with 429, and the ExternalSecrets fail as a whole.",
    "entry-undeclared": "`./homelab secrets` would neither list nor make it, and the app would wait for ever.",
    "entry-unread": "A person would look for a value that nothing needs.",
    "exception-unexplained": "Half a year later nobody knows whether the exception may go.",
    "hook-unasked": "A hook is outside of what Argo CD keeps in sync, and runs again with every sync.",
    "foundation-needs-entry": "An account that is not there would keep every application away.",
    "host-foreign": "No certificate covers it, and no gateway listens for it.",
    "host-missing": "On this stack nobody could reach the app.",
    "host-of-another": "Whoever answers for the name of another app, or holds its certificate, gets its logins.",
    "host-twice": "The older route wins, and the other app is unreachable without a message.",
    "image-malformed": "No node could pull it.",
    "image-pulled": "After a power cut without Internet it would not start, although its image is on the node.",
    "image-unpinned": "The same commit would run something else tomorrow, and nothing could be rolled back.",
    "kind-unknown": "The API server would refuse the object: nothing in this environment defines its kind.",
    "limit-below-request": "The API server refuses the pods and says so only in the ReplicaSet's events.",
    "limit-missing": "One leaking container would take its node down.",
    "mark-differs": "What the settings and the tree both say would sooner or later contradict each other.",
    "mark-forgotten": "The setting would change and the line would stay, and nothing would say so.",
    "mark-missing": "The environment would run with another one's value.",
    "mark-unknown": "A mark that names no setting compares nothing, and everybody believes that it does.",
    "mover-foreign": "A file that only the app may read would be missing in the backup, or fail it, every night.",
    "namespace-foreign": "The category's project refuses it, in the middle of a sync.",
    "namespace-made": "Namespaces carry their Pod Security level; an app that makes its own chooses it.",
    "namespace-missing": "A chart's object would land in the category's first namespace, and its rights elsewhere.",
    "network-policy-missing": "Whoever gets into one pod could ask all others, past the gateway and its login.",
    "namespaced-kind-undeclared": "Its project refuses it: rights in a namespace are a way to the node, and on.",
    "object-twice": "Two Applications would undo each other's changes for ever.",
    "placeholder-left": "A backup to an address that nobody has is none, and is missed on the day when it is needed.",
    "pod-security": "The API server refuses the pods and says so only in the ReplicaSet's events.",
    "privileged-unexplained": "Who owns the node owns all that runs on it: somebody has to have wanted that.",
    "probe-missing": "Traffic would go to pods that cannot answer, and hung ones would stay.",
    "public-unexplained": "Everybody on the Internet can reach it: somebody has to have wanted that.",
    "quantity-malformed": "The API server refuses 4gb, and takes 512m for half a byte.",
    "read-elsewhere": "A commit renders the apps whose folders it touches: this change would never arrive.",
    "reference-unknown": "Pods and volumes would wait for ever for what nobody makes, and routes lead nowhere.",
    "registry-silent": "What could not be asked for is not known to exist.",
    "replicas-scaled": "Every sync would undo what the autoscaler did.",
    "repository-inside": "After a rebuild Argo CD would wait for the Git server that it has to start.",
    "requests-missing": "The scheduler would put it on a node without room.",
    "role-escalates": "A program that may do this gives itself the rest, up to the node.",
    "root-unexplained": "Root is one mistake of the kernel away from the node, and most programs do not need it.",
    "schema-refused": "The API server would refuse the object, or drop the field without a word.",
    "sso-untrusted": "The admin account is closed where single sign-on is chosen: nobody could log in.",
    "start-page-link": "Whoever follows the link meets nothing, or another app.",
    "secret-foreign": "The store gives every entry to whoever names it: one app would hold the token of another.",
    "selects-nothing": "It is Healthy and does nothing: whoever asks is not answered, whoever drains is not held.",
    "strategy-rolling": "Two nodes cannot hold the volume at once: the update would never end.",
    "value-unknown": "helm drops it without a word, and the chart runs with its default.",
    "version-missing": "Nodes could not pull it, on the day when they have to.",
    "workload-among-crds": "A pod there would wait for nodes, networks and volumes that wait for its layer.",
}

# What an app's own files and the settings decide, whatever the other apps are. All else a change may break elsewhere:
# `check --changed-since` tells it of every app, so a new id is told until somebody writes it here.
ALONE = frozenset(
    {
        *("api-removed", "base-by-tag", "config-hashed", "data-unprotected", "exception-unexplained", "hook-unasked"),
        *("host-foreign", "host-missing", "image-malformed", "image-unpinned", "limit-below-request", "limit-missing"),
        *("mark-differs", "mark-forgotten", "mark-missing", "mark-unknown", "namespace-made"),
        *("namespaced-kind-undeclared", "placeholder-left", "pod-security", "privileged-unexplained"),
        *("quantity-malformed", "read-elsewhere", "requests-missing"),
        *("root-unexplained", "value-unknown"),
        *("workload-among-crds", "file-empty", "file-unreadable"),
        *("yaml-duplicate-key", "yaml-encoding", "yaml-syntax", "yaml-tab"),
        *(OF_RENDERS.keys() - {"render-failed", "render-unstable"}),
    }
)
EVERY: Mapping[str, str] = {**OF_SETTINGS, **OF_RENDERS, **WHY}
