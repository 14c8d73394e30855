"""Extract dependencies as Renovate does: a checkout and `renovate.json` come in, the dependencies go out.

A model of the managers that `renovate.json` enables; `tests.renovate.test_against_renovate` compares it with Renovate.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

import programs
from tests.renovate.rules import CONFIG, ROOT, RenovateDependency, is_in

IMAGE = re.compile(r"^\s*-?\s*image:\s*[\"']?(?P<name>[\w./-]+):(?P<tag>[\w.-]+)(?:@(?P<digest>sha256:\w+))?")
ACTION = re.compile(r"uses: (?P<name>[\w.-]+/[\w.-]+)[\w./-]*@(?P<commit>[0-9a-f]{40}) # (?P<version>\S+)")
REMOTE = re.compile(r"https://github\.com/(?P<name>[^/]+/[^/]+)[^?]*\?(?:.*&)?ref=(?P<ref>[^&\s]+)")
REQUIRED = re.compile(r"^(?:require )?\s*(?P<name>[\w./-]+\.[\w./-]+) (?P<version>v\S+)(?P<indirect> // indirect)?$")
# The repositories of Renovate's list of mise's short names.
MISE = {
    "argocd": "argoproj/argo-cd",
    "etcd": "etcd-io/etcd",
    "helm": "helm/helm",
    "kubeconform": "yannh/kubeconform",
    "kubectl": "kubernetes/kubernetes",
    "kustomize": "kubernetes-sigs/kustomize",
    "pulumi": "pulumi/pulumi",
    "talosctl": "siderolabs/talos",
}


def tracked(root: Path = ROOT) -> list[str]:
    """Return the files that Git has, or would add."""
    listed = programs.run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=root, timeout=60).stdout
    return sorted(name for name in set(listed.splitlines()) if (root / name).is_file())


def load(text: str) -> Any:
    """Return the first document of YAML; nothing for a template."""
    try:
        return next(iter(yaml.load_all(text, Loader=yaml.CSafeLoader)), None)
    except yaml.YAMLError:
        return None


def kubernetes(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield the images of manifests."""
    if "apiVersion:" in text and "kind:" in text:
        for found in filter(None, map(IMAGE.match, text.splitlines())):
            name = found["name"]
            yield RenovateDependency("kubernetes", file, name, name, "docker", found["tag"], found["digest"] or "")


def kustomize(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield remote bases, images and charts of a kustomization."""
    read = load(text) or {}
    kind = read.get("kind", "Kustomization")
    for key in ("bases", "resources", "components"):
        for found in filter(None, map(REMOTE.match, read.get(key, []))):
            yield RenovateDependency(
                "kustomize", file, found["name"], found["name"], "github-tags", found["ref"], kind=kind
            )
    for image in read.get("images", []):
        name, tag = image.get("newName", image["name"]), str(image.get("newTag", ""))
        value, _, digest = tag.partition("@")
        yield RenovateDependency(
            "kustomize", file, name, name, "docker", value, digest or image.get("digest", ""), kind
        )
    for chart in read.get("helmCharts", []):
        host = chart["repo"].removeprefix("oci://")
        is_oci = host != chart["repo"]
        package, source = (f"{host}/{chart['name']}", "docker") if is_oci else (chart["name"], "helm")
        yield RenovateDependency("kustomize", file, chart["name"], package, source, chart["version"], kind="HelmChart")


def helmv3(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield the dependencies of a chart that are not beside it."""
    for chart in (load(text) or {}).get("dependencies", []):
        if not chart["repository"].startswith("file:"):
            yield RenovateDependency("helmv3", file, chart["name"], chart["name"], "helm", chart["version"])


def github_actions(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield actions and the machines of jobs."""
    for found in ACTION.finditer(text):
        name = found["name"]
        yield RenovateDependency(
            "github-actions", file, name, name, "github-tags", found["version"], found["commit"], "action"
        )
    for job in load(text)["jobs"].values():
        system, _, version = job["runs-on"].partition("-")
        if system.isalpha():
            yield RenovateDependency(
                "github-actions", file, system, system, "github-runners", version, kind="github-runner"
            )


def gomod(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield the modules that a go.mod requires for itself, or for a tool."""
    tools = re.findall(r"^(?:tool )?\s*([\w-]+\.[\w./-]+)$", text, re.MULTILINE)
    body = re.sub(r"^(replace|exclude) \(.*?^\)", "", text, flags=re.MULTILINE | re.DOTALL)
    required = [found for found in map(REQUIRED.match, body.splitlines()) if found]
    owners = {
        max((one["name"] for one in required if f"{tool}/".startswith(f"{one['name']}/")), key=len) for tool in tools
    }
    for one in required:
        if not one["indirect"] or one["name"] in owners:
            kind = "indirect" if one["indirect"] else "require"
            yield RenovateDependency("gomod", file, one["name"], one["name"], "go", one["version"], kind=kind)


def mise(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield the tools of mise."""
    tools: dict[str, Any] = tomllib.loads(text)["tools"]
    for name, tool in tools.items():
        version = tool if isinstance(tool, str) else tool["version"]
        package = MISE.get(name, name.partition(":")[2])
        yield RenovateDependency("mise", file, name, package, "github", version, kind="tools", locked=version)


def pip_compile(file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield what a file of requirements names, with the version that its lock has."""
    lock = (ROOT / file).with_suffix(".txt").read_text(encoding="utf-8")
    for found in re.finditer(r"^(?P<name>[A-Za-z][\w-]*)(?P<value>==[\w.]+)?", text, re.MULTILINE):
        package = found["name"].lower().replace("_", "-")
        locked = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
        assert locked, f"{file}: {package} is not in the lock"
        yield RenovateDependency(
            "pip-compile", file, found["name"], package, "pypi", found["value"] or "", locked=locked[1]
        )


def by_expression(manager: dict[str, Any], file: str, text: str) -> Iterator[RenovateDependency]:
    """Yield the dependencies of a custom manager."""
    for expression in manager["matchStrings"]:
        for found in re.finditer(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", expression), text):
            groups: dict[str, str] = {key: value for key, value in found.groupdict().items() if value}
            template: str = manager.get("depNameTemplate", groups.get("depName", ""))
            registry = "/".join(filter(None, (groups.get("registry"), groups.get("repository"))))
            name = registry if "{{" in template else template
            source = manager["datasourceTemplate"]
            value, digest = groups["currentValue"], groups.get("currentDigest", "")
            yield RenovateDependency("custom.regex", file, name, name, source, value, digest)


# The files of each manager, by Renovate's own patterns and those of renovate.json.
MANAGERS: dict[str, tuple[str, Callable[[str, str], Iterator[RenovateDependency]]]] = {
    "github-actions": (r"(^|/)\.github/workflows/.+\.ya?ml$", github_actions),
    "gomod": (r"(^|/)go\.mod$", gomod),
    "helmv3": (r"(^|/)Chart\.ya?ml$", helmv3),
    "kubernetes": (CONFIG["kubernetes"]["managerFilePatterns"][0].strip("/"), kubernetes),
    "kustomize": (r"(^|/)kustomization\.ya?ml$", kustomize),
    "mise": (r"(^|/)mise\.toml$", mise),
    "pip-compile": (r"(^|/)requirements[^/]*\.in$", pip_compile),
}


def extracted(root: Path = ROOT) -> list[RenovateDependency]:
    """Return all dependencies, including those that a rule disables."""
    found: list[RenovateDependency] = []
    for file in tracked(root):
        if not is_in(file, CONFIG["includePaths"]):
            continue
        text = (root / file).read_text(encoding="utf-8")
        for pattern, extract in MANAGERS.values():
            if re.search(pattern, file):
                found += extract(file, text)
        for manager in CONFIG["customManagers"]:
            if any(re.search(pattern.strip("/"), file) for pattern in manager["managerFilePatterns"]):
                found += by_expression(manager, file, text)
    return found
