"""One ApplicationSet per category: every app with a folder for the environment becomes an Application.

Pure: a category and the location of Git come in, the manifest goes out; `components.handover.handover` makes the
resource and `ops.render` the file. The generator searches for files and not for folders: the fields of the
kustomization or chart that it finds are parameters too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from components.handover.application_defaults import (
    CATEGORY,
    DIGEST,
    GENERATE_PATHS,
    IN_CLUSTER,
    LAYER,
    NAMESPACE,
    RETRY,
    namespace_template,
)
from config.app_settings import folder_of
from config.category import Category, Sync
from config.gates import Gates
from config.model import Settings
from config.promotion import REVISION
from config.tree import APPS, BASE, CHART, GENERATED_BY, SHARED, CategoryFolder

HIDDEN = "_*"
# A refresh, as by a webhook, makes Argo CD write this into the generators of every set. Because it is set here too, `up
# --refresh` finds no difference.
NO_TEMPLATE: dict[str, Any] = {"metadata": {}, "spec": {"destination": {}, "project": ""}}
# The API server rejects an unknown field of a server-side apply in any case. Validation would read the schema of a
# whole group for every object: measured, two fifths of the controller's work.
SYNC_OPTIONS = (
    "ServerSideApply=true",
    "Validate=false",
    "ApplyOutOfSyncOnly=true",
    "FailOnSharedResource=true",
    "RespectIgnoreDifferences=true",
)


@dataclass(frozen=True)
class GitSource:
    """The location of Git, and the part of it that this stack runs."""

    repository: str
    revision: str
    path: str
    environment: str
    beside: tuple[str, ...] = ()
    """Private repositories that charts may come from."""
    gates: Gates = field(default_factory=Gates)
    """The conditions under which a change of this part takes effect."""

    @classmethod
    def of(cls, settings: Settings) -> GitSource:
        """Return the source of a stack, from its settings."""
        delivery = settings.delivery
        beside = tuple(repository.url for repository in settings.platform.repositories)
        return cls(delivery.repository, delivery.revision, delivery.path, delivery.environment, beside, delivery.gates)

    def holds(self, category: CategoryFolder) -> bool:
        """Return whether gates of the stack hold back changes that the category would sync at once."""
        return self.gates.holds and category.settings.sync_in(self.environment).mode == "automatic"

    def folder(self, *parts: str) -> str:
        """Return the path of a folder in the repository."""
        prefix = [part for part in self.path.split("/") if part not in ("", ".")]
        return "/".join([*prefix, *parts])


def application_set(category: CategoryFolder, source: GitSource) -> dict[str, Any]:
    """Return the ApplicationSet of a category."""
    keep = category.settings.removal == "keep"
    policy = {"preserveResourcesOnDeletion": True, "applicationsSync": "create-update"} if keep else {}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {
            "name": category.name,
            "namespace": NAMESPACE,
            "labels": {CATEGORY: category.name, LAYER: category.settings.layer},
            "annotations": {DIGEST: digest(category.settings)},
        },
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [{"git": _files(category.name, source)}],
            "syncPolicy": policy or {"applicationsSync": "sync"},
            "template": _template(category, source),
            "templatePatch": _of_a_chart(source, category.name),
        },
    }


def digest(category: Category) -> str:
    """Return a digest of category.yaml: the file is in Git and takes effect at the next `up`."""
    return hashlib.sha256(category.model_dump_json(by_alias=True).encode()).hexdigest()[:16]


def value_files(source: GitSource, category: str, app: str) -> list[str]:
    """Return the values files of an umbrella chart: those of the base, of the settings, and its own."""
    settings = f"/{source.folder(folder_of(source.environment), 'values', category)}/{app}.yaml"
    return [f"../{BASE}/values.yaml", settings, "values.yaml"]


def _files(category: str, source: GitSource) -> dict[str, Any]:
    """Return the generator that finds the folders of an environment."""
    folder = source.folder(APPS, category, "*", source.environment)
    return {
        "repoURL": source.repository,
        "revision": source.revision,
        "files": [{"path": f"{folder}/{file}"} for file in GENERATED_BY],
        "template": NO_TEMPLATE,
    }


def _app(source: GitSource) -> str:
    """Return the template of an app's name: the folder above its environment."""
    return f"{{{{ index .path.segments {len(source.folder(APPS).split('/')) + 1} }}}}"


def _revision(source: GitSource) -> str:
    """Return the template of the revision: the app's pin, in a chart or in a kustomization, else the stack's own."""
    chart = f'dig "annotations" "{REVISION}" {json.dumps(source.revision)} .'
    return f'{{{{ dig "metadata" "annotations" "{REVISION}" ({chart}) . }}}}'


def _of_a_chart(source: GitSource, category: str) -> str:
    """Return the part of the template that only umbrella charts get."""
    files = json.dumps(value_files(source, category, _app(source)))
    helm = f"{{valueFiles: {files}, ignoreMissingValueFiles: true}}"
    return f'{{{{ if eq .path.filename "{CHART}" }}}}spec: {{source: {{helm: {helm}}}}}{{{{ end }}}}\n'


def _template(category: CategoryFolder, source: GitSource) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{category.name}-{_app(source)}",
            "labels": {CATEGORY: category.name, LAYER: category.settings.layer},
            "annotations": {
                GENERATE_PATHS: generate_paths(category.name, _app(source), source.environment, source.folder())
            },
        },
        "spec": {
            "project": category.name,
            "source": {
                "repoURL": source.repository,
                "targetRevision": _revision(source),
                "path": "{{ .path.path }}",
            },
            "destination": {"server": IN_CLUSTER, "namespace": namespace_template(category.namespaces, _app(source))},
            "syncPolicy": sync_policy(source.gates.over(category.settings.sync_in(source.environment))),
            # An autoscaler owns this field; Git does not contain it.
            "ignoreDifferences": [
                {"group": "apps", "kind": "*", "managedFieldsManagers": ["kube-controller-manager"]},
            ],
        },
    }


def generate_paths(category: str, app: str, environment: str, top: str = "") -> str:
    """Return the paths in Git that an Application is rendered from; a commit elsewhere renders nothing.

    They are its own folder, the base that it builds on, the shared folders of its category and those of all categories,
    and the settings of the environment: `manifests.rules.render_paths` refuses a folder that reads any other path.
    """
    above = f"/{top}/" if top else "/"
    apps = f"{above}{APPS}"
    shared = f"{apps}/{category}/{HIDDEN}/*;{apps}/{SHARED};{above}{folder_of(environment)}"
    return f".;{apps}/{category}/{app}/{BASE};{shared}"


def sync_policy(sync: Sync) -> dict[str, Any]:
    """Return the sync policy of an Application."""
    policy: dict[str, Any] = {"syncOptions": list(SYNC_OPTIONS), "retry": RETRY}
    if sync.mode == "automatic":
        # Omit false values, as Argo CD does. Never `allowEmpty`: an empty render is a mistake.
        options = {"prune": sync.prune == "enabled", "selfHeal": sync.drift == "healed"}
        policy["automated"] = {name: True for name, value in options.items() if value}
    return policy
