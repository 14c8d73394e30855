"""Reports of changes that nobody made: three to read, one with every part, one from an enemy, and a large one."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ops.review.report import (
    ApplicationChange,
    CheckChange,
    Checks,
    ComponentChange,
    Danger,
    Infrastructure,
    ManifestChange,
    NodeConfiguration,
    ObjectChange,
    Observation,
    PropertyChange,
    Rehearsed,
    RemovedObject,
    Report,
    ResourceChange,
    Revision,
    VersionChange,
)

BASE = Revision(commit="6c343046b2a1f0a1d2c9e17cc9b4c2dd6e4a9f11", subject="Begin the report of a change with its data")
BOTH = ("dev", "homelab")
INJECTIONS = (
    "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"><!-- -->",
    "```\n````\n# head\n| --- | --- |\n> [!CAUTION]\n</details><details open>\n",
    "[text](javascript:alert(1)) ![](https://evil.example/x.png) https://evil.example www.evil.example",
    "@everyone #123 !12 ~label %3 &5 GH-7 a@evil.example :smile: org/repo#4 org/repo@0123456789",
    "&lt;b&gt; {{ 7 * 7 }} {% raw %} ${7*7} $`x`$ $x$ 'quoted' \"quoted\"",
    "__all__ *b* ~~s~~ `code` \\ \\| \\` <b> <!-- <?x ?> <![CDATA[ ]]>",
    "\x1b[31mred\x1b]0;title\x07 \u202egnp.exe\u2066 \u061c\t\r\x00\ud800\u2028",
)
HOSTILE = " ".join(INJECTIONS)
VOLUME = (
    "@@ -8,7 +8,7 @@",
    "   accessModes:",
    "   - ReadWriteOnce",
    "   resources:",
    "     requests:",
    "-      storage: 50Gi",
    "+      storage: 20Gi",
    "   storageClassName: local-path",
)
WORKLOAD = (
    "@@ -21,12 +21,13 @@",
    "       labels:",
    "         app.kubernetes.io/name: jellyfin",
    "     spec:",
    "       containers:",
    "       - env:",
    "         - name: JELLYFIN_PublishedServerUrl",
    "-          value: https://jellyfin.home.example.com",
    "+          value: https://media.home.example.com",
    "+        - name: JELLYFIN_FFMPEG",
    "+          value: /usr/lib/jellyfin-ffmpeg/ffmpeg",
    "-        image: docker.io/jellyfin/jellyfin:10.10.7",
    "+        image: docker.io/jellyfin/jellyfin:11.0.1",
    "         name: jellyfin",
    "         ports:",
    "         - containerPort: 8096",
)
IMAGE = (
    "@@ -18,7 +18,7 @@",
    "     spec:",
    "       containers:",
    "-      - image: ghcr.io/example/whoami:1.10.3",
    "+      - image: ghcr.io/example/whoami:1.11.0",
    "         name: whoami",
)


def routine() -> Report:
    """Return a change that moves one image."""
    return Report(
        verdict="routine",
        because=("only versions moved, by a patch or a minor step",),
        base=BASE,
        head=Revision(commit="42af03e0c1d2b3a495867706958493a2b1c0dfee", subject="Update whoami to 1.11.0"),
        stacks=BOTH,
        counts={"apps": 1, "objects": 1, "versions": 1},
        applications=(
            ApplicationChange(app="media/whoami", stacks=BOTH, operation="changed", changed=1, sync="automatic"),
        ),
        versions=(
            VersionChange(
                app="media/whoami",
                stacks=BOTH,
                kind="image",
                name="ghcr.io/example/whoami",
                before="1.10.3",
                after="1.11.0",
                digest_before="sha256:" + "3d5c" * 16,
                digest_after="sha256:" + "99ab" * 16,
                jump="minor",
                release_notes="https://github.com/example/whoami/releases/tag/v1.11.0",
            ),
        ),
        manifests=(
            ManifestChange(
                app="media/whoami",
                stacks=BOTH,
                objects=(
                    ObjectChange(
                        object="apps/v1 Deployment media/whoami", operation="changed", difference=IMAGE, folded=2
                    ),
                ),
            ),
        ),
    )


def review() -> Report:
    """Return a change with a new app, a broken check and an app that does not render."""
    return Report(
        verdict="review",
        because=("an app was added", "tools/paperless does not render"),
        base=BASE,
        head=Revision(commit="42af03e0c1d2b3a495867706958493a2b1c0dfee", subject="Add the recipes", changed_files=2),
        stacks=("homelab",),
        counts={"apps": 2, "objects": 2},
        infrastructure=(
            Infrastructure(
                stack="homelab", against="not run", note="the change touches only apps/, which Git delivers"
            ),
        ),
        applications=(
            ApplicationChange(app="tools/mealie", stacks=("homelab",), operation="added", added=2, sync="automatic"),
        ),
        manifests=(
            ManifestChange(
                app="tools/mealie",
                stacks=("homelab",),
                objects=(
                    ObjectChange(
                        object="v1 Service tools/mealie",
                        operation="added",
                        difference=(
                            "@@ -0,0 +1,4 @@",
                            "+apiVersion: v1",
                            "+kind: Service",
                            "+metadata:",
                            "+  name: mealie",
                        ),
                    ),
                    ObjectChange(
                        object="apps/v1 Deployment tools/mealie",
                        operation="added",
                        difference=("@@ -0,0 +1,2 @@", "+apiVersion: apps/v1", "+kind: Deployment"),
                    ),
                ),
            ),
            ManifestChange(
                app="tools/paperless",
                stacks=("homelab",),
                error="apps/tools/paperless/base/kustomization.yaml: no file deployment.yml",
                not_compared=7,
            ),
        ),
        checks=Checks(
            broken=(
                CheckChange(
                    where="apps/tools/mealie/base/deployment.yaml:24",
                    rule="the image has no digest and no fixed version",
                    fix="write a version in the place of latest",
                    check="image-pinned",
                ),
            ),
            mended=(CheckChange(where="apps/tools/wiki/base/pvc.yaml:3", rule="no size", fix="", check="volume-size"),),
        ),
    )


def dangerous() -> Report:
    """Return a change that shrinks a volume, removes a database and replaces a VM."""
    return Report(
        verdict="dangerous",
        because=("a volume claim shrinks", "a StatefulSet is deleted", "a VM is replaced"),
        base=BASE,
        head=Revision(commit="42af03e0c1d2b3a495867706958493a2b1c0dfee", subject="Tidy the media category"),
        stacks=BOTH,
        counts={"dangers": 3, "apps": 2, "objects": 3, "versions": 1, "resources": 1},
        dangers=(
            Danger(
                rule="removed-statefulset",
                where="databases/immich-db: apps/v1 StatefulSet databases/immich",
                reason="Argo CD prunes the StatefulSet, and the database stops",
                file="apps/databases/immich-db/base/statefulset.yaml",
                stacks=("homelab",),
            ),
            Danger(
                rule="pvc-shrink",
                where="media/jellyfin: v1 PersistentVolumeClaim media/jellyfin-config",
                reason="a claim cannot shrink from 50Gi to 20Gi: the API server refuses the sync",
                file="apps/media/jellyfin/base/pvc.yaml",
                stacks=BOTH,
                certainty="guessed",
            ),
            Danger(
                rule="vm-replaced",
                where="node worker-2",
                reason="the new disk size replaces the VM, and its local volumes are lost",
                file="Pulumi.homelab.yaml",
                stacks=("homelab",),
            ),
        ),
        infrastructure=(
            Infrastructure(
                stack="homelab",
                against="state",
                counts={"replace": 1},
                components=(
                    ComponentChange(
                        component="machines",
                        resources=(
                            ResourceChange(
                                operation="replace",
                                type="proxmoxve:VM",
                                name="worker-2",
                                properties=(PropertyChange(path="disks[0].size", before="200", after="120"),),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        machines=(
            NodeConfiguration(
                stack="homelab",
                node="worker-2",
                cost="replacement",
                why="the VM is replaced",
                difference=("@@ -3,3 +3,3 @@", "   install:", "-    disk: /dev/sda", "+    disk: /dev/vda"),
            ),
        ),
        applications=(
            ApplicationChange(
                app="databases/immich-db",
                stacks=("homelab",),
                operation="removed",
                removed=2,
                removed_objects=(
                    RemovedObject(
                        object="apps/v1 StatefulSet databases/immich",
                        fate="pruned",
                        why="the category prunes by itself",
                    ),
                    RemovedObject(
                        object="v1 PersistentVolumeClaim databases/immich-data",
                        fate="kept by annotation",
                        why="argocd.argoproj.io/sync-options: Prune=false",
                    ),
                ),
                sync="automatic",
            ),
            ApplicationChange(app="media/jellyfin", stacks=BOTH, operation="changed", changed=2, sync="manual"),
        ),
        versions=(
            VersionChange(
                app="media/jellyfin",
                stacks=BOTH,
                kind="image",
                name="docker.io/jellyfin/jellyfin",
                before="10.10.7",
                after="11.0.1",
                jump="major",
                release_notes="https://github.com/jellyfin/jellyfin/releases",
            ),
        ),
        manifests=(
            ManifestChange(
                app="media/jellyfin",
                stacks=BOTH,
                objects=(
                    ObjectChange(
                        object="v1 PersistentVolumeClaim media/jellyfin-config", operation="changed", difference=VOLUME
                    ),
                    ObjectChange(
                        object="apps/v1 Deployment media/jellyfin", operation="changed", difference=WORKLOAD, folded=1
                    ),
                ),
            ),
        ),
    )


def rich() -> Report:
    """Return a report in which every part has content."""
    worst, middle, least = dangerous(), review(), routine()
    return worst.model_copy(
        update={
            "infrastructure": (
                *worst.infrastructure,
                Infrastructure(stack="dev", against="base", note="no credentials"),
            ),
            "applications": (*worst.applications, *middle.applications, *least.applications),
            "versions": (*worst.versions, *least.versions),
            "manifests": (*worst.manifests, *middle.manifests, *least.manifests),
            "checks": middle.checks,
            "counts": {"dangers": 3, "apps": 5, "objects": 6, "versions": 2, "resources": 1},
            "rehearsed": Rehearsed(
                observations=(
                    Observation(stack="dev", app="media/jellyfin", objects=2),
                    Observation(stack="dev", app="media/whoami", objects=1, differences=("v1 Service media/whoami",)),
                    Observation(stack="dev", app="tools/mealie", objects=0, error="the repo-server did not answer"),
                ),
                note="both revisions were rendered by Argo CD 3.4.9",
            ),
            "notes": ("the stack dev has no state here: its infrastructure was compared without it",),
        }
    )


def hostile(injection: str = HOSTILE) -> Report:
    """Return a report in which every text is an injection behind the names of its model and field."""
    made = filled(Report, injection)
    assert isinstance(made, Report)
    return made


def marks(model: type[BaseModel] = Report) -> Iterator[str]:
    """Yield the beginning of every text in the hostile report."""
    for name, field in model.model_fields.items():
        for kind in _kinds(field.annotation):
            if kind is str:
                yield mark(model, name)
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from marks(kind)


def mark(model: type[BaseModel], name: str) -> str:
    """Return a text that stands in no other field."""
    return f"{model.__name__}-{name.replace('_', '-')}-"


def filled(model: type[BaseModel], injection: str) -> BaseModel:
    """Return an object of a model with every field filled, so that a new field is never forgotten."""
    fields = model.model_fields.items()
    return model(**{name: _value(field.annotation, mark(model, name), injection) for name, field in fields})


def _value(annotation: Any, name: str, injection: str) -> Any:
    text = name + injection
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _value(next(one for one in arguments if one is not types.NoneType), name, injection)
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        # A line of a difference begins with its sign, and only a text behind each sign shows that all are escaped.
        return (
            (text, f"+{text}", f"-{text}", f" {text}")
            if arguments[0] is str
            else (_value(arguments[0], name, injection),)
        )
    if origin is dict:
        return {text: 3}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return filled(annotation, injection)
    return text if annotation is str else annotation is bool or 3


def _kinds(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        return
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from _kinds(one)


def large(objects: int = 3000, apps: int = 100, lines: int = 24) -> Report:
    """Return a change of many objects, each with some lines."""
    each = objects // apps
    context = tuple(f"       - name: VALUE_{number}" for number in range(lines - 8))
    operations: tuple[Literal["added", "changed", "removed"], ...] = ("changed", "changed", "added", "removed")
    manifests, applications, versions = [], [], []
    for app in range(apps):
        name = f"category-{app % 7}/app-{app:03}"
        changes = tuple(
            ObjectChange(
                object=f"apps/v1 Deployment category-{app % 7}/app-{app:03}-{number:02}",
                operation=operations[number % 4],
                difference=(*IMAGE, *context, f"-          value: old-{number}", f"+          value: new-{number}"),
            )
            for number in range(each)
        )
        manifests.append(ManifestChange(app=name, stacks=BOTH, objects=changes))
        applications.append(
            ApplicationChange(app=name, stacks=BOTH, operation="changed", changed=each, sync="automatic")
        )
        versions.append(
            VersionChange(
                app=name,
                stacks=BOTH,
                kind="image",
                name=f"ghcr.io/example/app-{app:03}",
                before="1.10.3",
                after="1.11.0",
                jump="minor",
                release_notes="https://github.com/example/whoami/releases",
            )
        )
    return Report(
        verdict="review",
        because=("a large change",),
        base=BASE,
        head=Revision(commit="42af03e0c1d2b3a495867706958493a2b1c0dfee", subject="Move every app"),
        stacks=BOTH,
        counts={"apps": apps, "objects": objects, "versions": apps},
        applications=tuple(applications),
        versions=tuple(versions),
        manifests=tuple(manifests),
    )
