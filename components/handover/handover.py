"""The handover as resources: the guard first, then layer after layer of projects and ApplicationSets.

`stacks.homelab` passes in the categories; from here on, Git decides. Real health makes the order between layers: the
foundation of a layer is Healthy before the next layer is generated, and nothing else is waited for (decision 25).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.admissionregistration.v1 import ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding
from pulumi_kubernetes.apiextensions import CustomResource

from components import shell
from components.contract import Component
from components.handover.application_defaults import LAYERS
from components.handover.application_sets import GitSource, application_set
from components.handover.guard import guards
from components.handover.projects import project
from config.tree import CategoryFolder
from config.values import Duration

SCRIPT = Path(__file__).parent / "scripts" / "wait.sh"


@dataclass(frozen=True)
class HandoverArgs:
    """The arguments of the handover: categories, their source, and the limits of the wait for them."""

    categories: Sequence[CategoryFolder]
    source: GitSource
    waits_for_health: bool
    stall_timeout: Duration
    kubeconfig: pulumi.Output[str]
    generation: int
    gone_with: pulumi.Resource
    after: Sequence[pulumi.Resource]


class Handover(Component):
    """The guards, projects and ApplicationSets of a stack."""

    def __init__(self, name: str, args: HandoverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the guard, then one layer after the other."""
        super().__init__(name, opts)
        self.args = args
        before: list[pulumi.Resource] = [*args.after, *self._guard()]
        for layer in LAYERS:
            members = [category for category in args.categories if category.settings.layer == layer]
            if members:
                before = [self._layer(layer, members, before)]
        self.register_outputs({"categories": [category.name for category in args.categories]})

    def _guard(self) -> list[pulumi.Resource]:
        names = ("guard", "binding", "labels", "labels-binding")
        kinds = (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding)
        return [
            kinds[index % 2](
                self.child(name),
                metadata=owned(manifest["metadata"]),
                spec=manifest["spec"],
                opts=self._options(self.args.after),
            )
            for index, (name, manifest) in enumerate(zip(names, guards(), strict=True))
        ]

    def _layer(self, layer: str, members: Sequence[CategoryFolder], before: Sequence[pulumi.Resource]) -> Command:
        """Make the sets of a layer, and wait for them and for its foundation."""
        sets, source = [], self.args.source
        for category in members:
            owned_by = project(category, source.repository, *source.beside, gates=source.gates)
            owner = self._resource("project", category.name, owned_by, before)
            manifest = application_set(category, source)
            sets.append(self._resource("set", category.name, manifest, [owner]))
        waits = self.args.waits_for_health and layer != LAYERS[-1]  # no layer comes after the last
        foundation = [(one, app.full_name) for one in members for app in one.foundation] if waits else []
        return Command(
            self.child("wait", layer),
            create=script(),
            update=script(),
            environment={
                "LAYER": layer,
                "SETS": " ".join(category.name for category in members),
                "FOUNDATION": " ".join(name for _, name in foundation),
                "GATED": " ".join(name for one, name in foundation if source.holds(one)),
                "STALL_SECONDS": str(self.args.stall_timeout.seconds),
                "KUBECONFIG_TEXT": self.args.kubeconfig,
            },
            opts=self.options(
                depends_on=sets,
                deleted_with=self.args.gone_with,
                replacement_trigger=str(self.args.generation),
            ),
        )

    def _resource(
        self, what: str, name: str, manifest: Mapping[str, Any], after: Sequence[pulumi.Resource]
    ) -> CustomResource:
        return CustomResource(
            self.child(what, name),
            api_version=manifest["apiVersion"],
            kind=manifest["kind"],
            metadata=owned(manifest["metadata"]),
            spec=manifest["spec"],
            opts=self._options(after),
        )

    def _options(self, after: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return self.options(depends_on=list(after), deleted_with=self.args.gone_with)


def owned(metadata: Mapping[str, Any]) -> Any:
    """Adopt an object that outlived the state, as in a restored etcd, from any field manager."""
    return {**metadata, "annotations": {**metadata.get("annotations", {}), "pulumi.com/patchForce": "true"}}


def script() -> str:
    """Return the script that waits for a layer."""
    return shell.script(SCRIPT)
