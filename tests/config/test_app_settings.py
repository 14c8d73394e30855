"""The settings that reach apps: each generated file, by the stack file that it is made from."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.app_settings import KEYS, MOVERS, NUMBERS, PLACEHOLDER, filled, generated, key_of, value_of, values_of
from config.load import Stack, read_stack, read_stacks
from config.source import parse
from config.tree import read_tree
from manifests import kubernetes_yaml
from ops.checking.settings_writer import write
from tests.config.scenario import CHECKOUT, prepare, problems

ROOT = Path(__file__).parents[2]
BASE = "Pulumi.base.yaml"
FOLDER = "apps/_settings/production"
EXAMPLES = {stack.name: stack for stack in read_stacks(ROOT)}


def stack_with(tmp_path: Path, **edits: str) -> Stack:
    """Return the small stack with other text of its file."""
    text = (CHECKOUT / BASE).read_text(encoding="utf-8")
    for old, new in edits.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / BASE).write_text(text, encoding="utf-8")
    return read_stack(tmp_path / BASE)


def file_of(stack: Stack, name: str) -> Any:
    return yaml.safe_load(generated(stack, {})[f"{FOLDER}/{name}"])


def test_key_of_a_setting_is_one_word() -> None:
    assert key_of("network.domain") == "networkDomain"
    assert key_of("platform.argocd.sso.clientId") == "platformArgocdSsoClientId"
    assert len({key_of(path) for path in (*KEYS, MOVERS)}) == len(KEYS) + 1


def test_each_key_is_set_in_one_of_some_stack_files(tmp_path: Path) -> None:
    """A misspelt key would be missing in all settings."""
    stores = {
        "organization: o, project: p": "bitwarden",
        "server: https://v.example.com": "vault",
        "namespace: n": "kubernetes",
    }
    sso = 'argocd: {sso: {issuer: "https://auth.example.com", clientId: argocd, adminGroup: admins}}'
    backup = "backup: {endpoint: https://s3.example.com, bucket: b}"
    found: set[str] = set()
    for fields, kind in stores.items():
        store = f"secretStore: {{kind: {kind}, {fields}}}\n    {sso}\n    {backup}"
        old = 'secretStore: {kind: vault, server: "https://vault.example.com:8200"}'
        found |= values_of(stack_with(tmp_path, **{old: store}).require()).keys()
    assert found == {*KEYS, MOVERS}


@pytest.mark.parametrize("path", ["network.nothing", "network.domain.more", "nothing", "cluster.nodes.name"])
def test_an_unknown_path_has_no_value(path: str) -> None:
    assert value_of(EXAMPLES["homelab"].require(), path) is None


def test_settings_are_a_config_map_that_never_reaches_the_cluster(tmp_path: Path) -> None:
    stack = stack_with(tmp_path)
    made = file_of(stack, "settings.yaml")
    assert (made["apiVersion"], made["kind"], made["metadata"]["name"]) == ("v1", "ConfigMap", "settings")
    assert made["metadata"]["annotations"] == {"config.kubernetes.io/local-config": "true"}
    assert made["data"] == {
        "networkDomain": "home.example.com",
        "networkSubnet": "10.0.0.0/24",
        "networkVip": "10.0.0.5",
        "networkLoadBalancerRange": "10.0.0.50-10.0.0.99",
        "networkLoadBalancersInternal": "10.0.0.50",
        "networkLoadBalancersPublic": "10.0.0.51",
        "networkLoadBalancersPassthrough": "10.0.0.52",
        "networkLoadBalancersMosquitto": "10.0.0.53",
        "networkPodCidr": "10.244.0.0/16",
        "networkServiceCidr": "10.96.0.0/12",
        "clusterName": "base",
        "clusterGeneration": "1",
        "platformCertificatesEmail": "admin@example.com",
        "platformSecretStoreServer": "https://vault.example.com:8200",
        "platformSecretStorePath": "secret",
        "platformArgocdPolling": "3m",
        "deliveryRepository": "https://github.com/example/homelab.git",
        "platformBackupReplicas": "0",
    }


def test_hosts_of_all_routes_get_the_domain(tmp_path: Path) -> None:
    made = file_of(stack_with(tmp_path), "kustomization.yaml")
    assert made["kind"] == "Component"
    assert made["resources"] == ["settings.yaml"]
    (replaced,) = made["replacements"]
    assert replaced["source"] == {"kind": "ConfigMap", "name": "settings", "fieldPath": "data.networkDomain"}
    assert [target["select"]["kind"] for target in replaced["targets"]] == ["HTTPRoute", "GRPCRoute", "TLSRoute"]
    for target in replaced["targets"]:
        assert target["reject"] == [{"annotationSelector": "homelab.dev/hosts=none"}]
        assert target["fieldPaths"] == ["spec.hostnames.*"]
        assert target["options"] == {"delimiter": ".", "index": 1}


@pytest.mark.parametrize(
    ("certificates", "name", "components"),
    [
        ("{issuer: internal}", "internal", None),
        (
            "{issuer: letsencrypt-staging, email: a@example.com}",
            "letsencrypt-staging",
            ["../../../cert-manager/issuers/base/letsencrypt"],
        ),
        (
            "{issuer: letsencrypt, email: a@example.com}",
            "letsencrypt",
            ["../../../cert-manager/issuers/base/letsencrypt"],
        ),
    ],
)
def test_issuer_is_a_copy_of_the_chosen_one(
    certificates: str, name: str, components: list[str] | None, tmp_path: Path
) -> None:
    made = file_of(stack_with(tmp_path, **{"{email: admin@example.com}": certificates}), "issuer/kustomization.yaml")
    assert made.get("components") == components
    (replaced,) = made["replacements"]
    assert replaced["source"] == {"kind": "ClusterIssuer", "name": name, "fieldPath": "spec"}
    assert replaced["targets"] == [{"select": {"kind": "ClusterIssuer", "name": "homelab"}, "fieldPaths": ["spec"]}]


SSO = 'sso: {issuer: "https://auth.example.com", clientId: argocd, adminGroup: admins}'


@pytest.mark.parametrize(
    ("argocd", "resources", "components"),
    [
        ("{}", "base", None),
        ("{replicas: ha}", "base/ha", None),
        (f"{{{SSO}}}", "base", "base/sso"),
        (f"{{replicas: ha, {SSO}}}", "base/ha", "base/sso"),
    ],
)
def test_argo_cd_is_the_chosen_one(argocd: str, resources: str, components: str | None, tmp_path: Path) -> None:
    stack = stack_with(tmp_path, **{"  homelab:delivery:": f"    argocd: {argocd}\n  homelab:delivery:"})
    made = file_of(stack, "argocd/kustomization.yaml")
    assert made["resources"] == [f"../../../system/argocd/{resources}"]
    assert made.get("components") == ([f"../../../system/argocd/{components}"] if components else None)


@pytest.mark.parametrize(
    ("backup", "folder", "movers"),
    [("", "backup-off", "0"), ("    backup: {endpoint: https://s3.example.com, bucket: b}\n", "backup", "1")],
)
def test_backups_are_taken_by_setting(backup: str, folder: str, movers: str, tmp_path: Path) -> None:
    stack = stack_with(tmp_path, **{"  homelab:delivery:": f"{backup}  homelab:delivery:"})
    of_volumes, of_databases = (file_of(stack, f"{name}/kustomization.yaml") for name in ("backup", "database-backup"))
    assert of_volumes["resources"] == [f"../../../security/secret-stores/base/{folder}"]
    assert of_databases["components"] == [f"../../../cloudnative-pg/shared/base/{folder}"]
    assert file_of(stack, "settings.yaml")["data"]["platformBackupReplicas"] == movers


def test_each_file_names_its_origin(tmp_path: Path) -> None:
    made = generated(stack_with(tmp_path), {"media/jellyfin": "host: jellyfin.{network.domain}\n"})
    head = "# Generated from Pulumi.base.yaml by `./homelab settings`: change the stack file, not this.\n"
    assert all(text.startswith(head) for text in made.values())
    assert made[f"{FOLDER}/values/media/jellyfin.yaml"] == f"{head}host: jellyfin.home.example.com\n"


def test_placeholders_are_replaced_and_unknown_ones_stay(tmp_path: Path) -> None:
    settings = stack_with(tmp_path).require()
    text = "a: '{network.domain}/{network.podCidr}' # {network.domain}\nb: {x: 1, y: {}}\nc: '{network.domian}'\n"
    assert filled(settings, text) == (
        "a: 'home.example.com/10.244.0.0/16' # home.example.com\nb: {x: 1, y: {}}\nc: '{network.domian}'\n"
    )


TEXTS = [
    "123456",
    "1e3",
    "0x1f",
    "0o14",
    "1_000",
    "12:30:45",
    "2024-01-31",
    "yes",
    "y",
    "N",
    "0B1",
    "0X1F",
    "Null",
    "~",
    "a: b",
    "a #b",
    'say "no"',
    "it's",
    "[x]",
    "{x}",
    "- x",
    "*x",
    "!x",
    "a, b",
    "back\\slash",
    " x ",
    "two\nlines",
    "ü\u200b",
    "",
]
TEMPLATES = {
    "a: {cluster.name}\n": "{}",
    "a: {cluster.name}": "{}",
    "a: '{cluster.name}'\n": "{}",
    'a: "{cluster.name}"\n': "{}",
    "a: {cluster.name} # {cluster.name}\n": "{}",
    "a: x.{cluster.name}\n": "x.{}",
    "a: x.{cluster.name}.y\n": "x.{}.y",
    "a: {cluster.name}\r\nb: ü\r\n": "{}",
    '# ü 😀\nb: [ü, {x: 1}]\na: "ü{cluster.name}"\n': "ü{}",
    'a: "x \\u00fc {cluster.name}"\n': "x ü {}",
    "a: |\n  x {cluster.name} y\nb: 1\n": "x {} y\n",
    "a: |-\n  x {cluster.name} y\nb: 1\n": "x {} y",
    "a: >2\n   x {cluster.name}\nb: 1\n": " x {}\n",
    "a: &t !!str x.{cluster.name}\nb: *t\n": "x.{}",
    "{a: '{cluster.name}', b: 1}\n": "{}",
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_one_text(text: str, template: str) -> None:
    settings = EXAMPLES["homelab"].require()
    named = settings.model_copy(update={"cluster": settings.cluster.model_copy(update={"name": text})})
    written = filled(named, template)
    wanted = {**yaml.safe_load(template), "a": TEMPLATES[template].format(text)}
    if "*t" in template:
        wanted["b"] = wanted["a"]
    assert yaml.safe_load(written) == wanted
    assert parse(written.encode(), "values.yaml").first.value["a"] == wanted["a"]
    assert kubernetes_yaml.document(written) == wanted


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("a: {platform.backup.replicas}\n", 0),
        ("a: [{platform.backup.replicas}]\n", [0]),
        ('a: "{platform.backup.replicas}"\n', "0"),
        ("a: {cluster.generation}\n", 1),
        ("a: v{cluster.generation}\n", "v1"),
        ("a: 1{cluster.generation}\n", "11"),
    ],
)
def test_a_number_without_quotes_stays_a_number(template: str, value: object) -> None:
    assert yaml.safe_load(filled(EXAMPLES["staging"].require(), template)) == {"a": value}


def test_numbers_are_the_settings_that_are_no_text() -> None:
    settings = EXAMPLES["homelab"].require()
    assert isinstance(settings.cluster.generation, int)
    texts = {path: value for path, value in values_of(settings).items() if path not in NUMBERS}
    assert not [path for path, value in texts.items() if value.isdigit()]


def test_templates_of_apps_that_the_environment_runs_are_filled(tmp_path: Path) -> None:
    template = "host: {network.domain}\n"
    files = {f"apps/media/{app}/base/values.settings.yaml": template for app in ("jellyfin", "radarr", "lidarr")}
    files |= {"apps/media/radarr/dev/kustomization.yaml": "resources: []\n"}
    prepare({"write": files}, tmp_path)
    written = {str(one.relative_to(tmp_path / FOLDER / "values")) for one in (tmp_path / FOLDER).rglob("values/*/*")}
    assert written == {"kube-system/cilium.yaml", "media/jellyfin.yaml"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_changed_domain_changes_settings_and_nothing_else(name: str) -> None:
    """Machines and versions are no settings of apps: the files stay the same."""
    stack = EXAMPLES[name]
    settings = stack.require()
    newer = settings.cluster.model_copy(update={"talos_version": "9.9.9", "nodes": settings.cluster.nodes[:1]})
    upgraded = replace(stack, settings=settings.model_copy(update={"cluster": newer}))
    assert generated(upgraded, {}) == generated(stack, {})
    network = settings.network.model_copy(update={"domain": "lab.me.org"})
    moved = generated(
        replace(stack, settings=settings.model_copy(update={"network": network})), {"a/b": "{network.domain}"}
    )
    differs = {
        name.rpartition("/")[2]
        for name, text in generated(stack, {"a/b": "{network.domain}"}).items()
        if moved[name] != text
    }
    assert differs == {"settings.yaml", "b.yaml"}


def test_a_written_checkout_has_no_problem_and_is_written_once(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    file = tmp_path / BASE
    file.write_text(file.read_text(encoding="utf-8").replace("home.example.com", "lab.me.org"), encoding="utf-8")
    assert {problem.check for problem in problems(tmp_path)} == {"settings-stale"}
    (stack,), tree = read_stacks(tmp_path), read_tree(tmp_path)
    assert write(tmp_path, [stack], tree) == [f"{FOLDER}/settings.yaml"]
    assert problems(tmp_path) == []
    assert write(tmp_path, [stack], tree) == []


def test_settings_of_a_stack_with_problems_are_compared_too(tmp_path: Path) -> None:
    change = {BASE: {"    environment: production": "    environment: production\n---\nconfig: {}"}}
    stale = {"replace": {f"{FOLDER}/settings.yaml": {"clusterName: base": "clusterName: other"}}}
    prepare({"replace": change, "stale": stale}, tmp_path)
    assert sorted(problem.check for problem in problems(tmp_path)) == ["document-second", "settings-stale"]


def test_committed_settings_of_the_examples_fit() -> None:
    tree = read_tree(ROOT)
    assert set(tree.environments) == {stack.require().delivery.environment for stack in EXAMPLES.values()}
    for stack in EXAMPLES.values():
        (settings,) = (ROOT / f"apps/_settings/{stack.require().delivery.environment}").glob("settings.yaml")
        data = yaml.safe_load(settings.read_text(encoding="utf-8"))["data"]
        assert data == {key_of(path): value for path, value in values_of(stack.require()).items()}


def test_apps_use_known_settings() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "apps").rglob("*.yaml")]
    used = {found for text in texts for found in re.findall(r"ConfigMap, name: settings, fieldPath: data\.(\w+)", text)}
    templates = (ROOT / "apps").glob("*/*/base/values.settings.yaml")
    used |= {key_of(path) for file in templates for path in PLACEHOLDER.findall(file.read_text(encoding="utf-8"))}
    known = {key_of(path) for path in (*KEYS, MOVERS)}
    assert used <= known
    assert known - used == {"networkVip", "networkServiceCidr"}, "settings for apps of other people"
