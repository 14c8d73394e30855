"""`./homelab new` writes an app like all others, or reports every mistake and writes nothing."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from config.tree import read_tree
from manifests import kubernetes_yaml
from manifests.objects import Object, identity
from manifests.render import Folder, Renderer, render
from ops.__main__ import main
from ops.scaffold import NewApp, backup_time, listed
from ops.toolchain.lookup import ensure

ROOT = Path(__file__).parents[2]
IMAGE = "docker.io/fallenbagel/jellyseerr:2.7.3"
WHAT = ("--image", IMAGE, "--port", "5055")
FULL = ("--volume", "/app/config:2Gi", "--secret", "API_KEY", "--health", "/api/v1/status")
DOMAINS = {"dev": "dev.example.com", "production": "home.example.com", "staging": "staging.example.com"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("apps", "patches"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for stack in ROOT.glob("Pulumi.*.yaml"):
        shutil.copy(stack, tmp_path)
    return tmp_path


def new(checkout: Path, *arguments: str) -> int:
    return main(["new", *arguments, "--root", str(checkout)])


def rendered(checkout: Path, path: str) -> dict[str, Object]:
    env = ensure(("kustomize", "helm")).env()
    objects = render(Renderer(checkout, "1.36.3", env=env, kept=None), Folder(path))
    return {identity(item).kind: item for item in objects}


def test_an_app_with_everything_is_written_as_the_others_are(checkout: Path) -> None:
    assert new(checkout, "media/jellyseerr", *WHAT, *FULL) == 0
    assert read_tree(checkout).problems == read_tree(ROOT).problems
    for environment, domain in DOMAINS.items():
        found = rendered(checkout, f"apps/media/jellyseerr/{environment}")
        assert found["HTTPRoute"]["spec"]["hostnames"] == [f"jellyseerr.{domain}"]
    assert set(found) == {
        *("Deployment", "ExternalSecret", "HTTPRoute", "NetworkPolicy", "PersistentVolumeClaim"),
        *("ReplicationSource", "Service"),
    }
    assert {item["metadata"]["namespace"] for item in found.values()} == {"media"}
    pod = found["Deployment"]["spec"]["template"]
    labels = {"app.kubernetes.io/name": "jellyseerr"}
    assert pod["metadata"]["labels"] == found["Service"]["spec"]["selector"] == labels
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert found["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert found["Deployment"]["metadata"]["annotations"] == {"reloader.stakater.com/auto": "true"}
    container = pod["spec"]["containers"][0]
    assert container["image"] == IMAGE
    assert container["readinessProbe"] == {"httpGet": {"path": "/api/v1/status", "port": "http"}}
    time = found["ReplicationSource"]["spec"]["trigger"]["schedule"]
    assert found["PersistentVolumeClaim"]["metadata"]["annotations"] == {
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "homelab.dev/backup": time,
    }


def test_a_secret_may_have_a_name_that_yaml_reads_differently(checkout: Path) -> None:
    assert new(checkout, "media/jellyseerr", *WHAT, "--secret", "Y", "--secret", "API_KEY") == 0
    file = checkout / "apps/media/jellyseerr/base/external-secret.yaml"
    (said,) = kubernetes_yaml.documents(file.read_text(encoding="utf-8"))
    assert [one["secretKey"] for one in said["spec"]["data"]] == ["Y", "API_KEY"]


def test_what_is_written_differs_from_the_model_in_words_only(checkout: Path) -> None:
    assert (
        new(checkout, "media/jellyfin-two", "--image", "ghcr.io/jellyfin/jellyfin:10.10.7", *FULL[:2], *WHAT[2:]) == 0
    )
    base = ("kustomization.yaml", "route.yaml", "service.yaml", "volume.yaml")
    for file in (*(f"base/{name}" for name in base), *(f"{name}/kustomization.yaml" for name in DOMAINS)):
        model = (checkout / "apps/media/jellyfin" / file).read_text(encoding="utf-8").replace("10Gi", "2Gi")
        written = (checkout / "apps/media/jellyfin-two" / file).read_text(encoding="utf-8")
        assert without_time(written.replace("jellyfin-two", "jellyfin")) == without_time(model)


def without_time(volume: str) -> str:
    return re.sub(r"(homelab\.dev/backup: ).*", r"\1", volume)


def test_a_new_volume_has_a_backup_time_of_its_own() -> None:
    time = backup_time("jellyseerr", ())
    other = backup_time("jellyseerr", {time})
    assert time == backup_time("jellyseerr", {other}), "it follows from the name"
    assert time != other
    assert re.fullmatch(r"[1-5]?\d [345] \* \* \*", time)


def test_an_app_without_volumes_and_secrets_has_four_files_and_one_for_each_environment(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(checkout, "selfhosted/films", *WHAT, "--host", "movies.staging.example.com", "--gateway", "public") == 0
    base = "base/deployment.yaml, base/kustomization.yaml, base/route.yaml, base/service.yaml"
    environments = "dev/kustomization.yaml, production/kustomization.yaml, staging/kustomization.yaml"
    assert capsys.readouterr().out.splitlines() == [
        f"wrote apps/selfhosted/films: {base}, {environments}",
        "added it to apps/selfhosted/homepage/base/services.yaml",
        "its host name: movies.<domain of the stack> (gateway public)",
        "it runs as user 1000, without privileges, with 512Mi of memory at most: see base/deployment.yaml",
        "next: ./homelab check, commit, push: Argo CD finds its folders without `up` (docs/how-to/add-an-app.md)",
    ]
    assert "strategy" not in (checkout / "apps/selfhosted/films/base/deployment.yaml").read_text(encoding="utf-8")
    page = (checkout / "apps/selfhosted/homepage/base/services.yaml").read_text(encoding="utf-8")
    assert '    - films: {href: "https://movies.{{HOMEPAGE_VAR_DOMAIN}}"}\n' in page
    kinds = {"CiliumNetworkPolicy", "Deployment", "HTTPRoute", "NetworkPolicy", "Service"}
    made = rendered(checkout, "apps/selfhosted/films/production")
    assert set(made) == kinds
    assert made["HTTPRoute"]["spec"]["hostnames"] == ["movies.home.example.com"]
    assert made["CiliumNetworkPolicy"]["metadata"]["name"] == "films-egress"
    assert made["CiliumNetworkPolicy"]["spec"]["endpointSelector"] == made["Deployment"]["spec"]["selector"]


def test_an_app_runs_in_the_environments_that_are_given(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--environment", "staging", "--environment", "dev", "--environment", "staging")
    assert new(checkout, "media/jellyseerr", *WHAT, *chosen, "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["folder"], about["host"]) == ("apps/media/jellyseerr", "jellyseerr")
    assert about["environments"] == ["staging", "dev"]
    assert sorted(one.name for one in (checkout / "apps/media/jellyseerr").iterdir()) == ["base", "dev", "staging"]
    apps = [app for app in read_tree(checkout).apps if app.name == "jellyseerr"]
    assert [app.environment for app in apps] == ["dev", "staging"]


def test_a_host_is_a_label_with_or_without_the_domain_of_a_stack(checkout: Path) -> None:
    for index, host in enumerate(("seerr", "seerr.home.example.com", "seerr.dev.example.com")):
        assert new(checkout, f"media/new{index}", *WHAT, "--host", host) == 0
        route = checkout / f"apps/media/new{index}/base/route.yaml"
        assert "  hostnames:\n    - seerr.domain\n" in route.read_text(encoding="utf-8")
        shutil.rmtree(checkout / f"apps/media/new{index}")


def test_a_literal_host_of_another_app_is_taken(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    route = checkout / "apps/media/sonarr/base/route.yaml"
    text = route.read_text(encoding="utf-8")
    route.write_text(text.replace("sonarr.domain", "series.dev.example.com"), encoding="utf-8")
    assert new(checkout, "media/new", *WHAT, "--host", "sonarr") == 0
    capsys.readouterr()
    assert new(checkout, "media/series", *WHAT) == 1
    assert capsys.readouterr().err.splitlines() == [
        "./homelab new: --host = series: belongs to apps/media/sonarr already; give each its own host [host-twice]",
        "1 problem",
    ]


def test_a_problem_of_an_app_with_a_longer_name_is_not_the_new_apps(checkout: Path) -> None:
    (checkout / "apps/media/jellyfin/qa").mkdir()
    assert new(checkout, "media/jelly", *WHAT) == 0


def test_a_tree_without_environments_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(checkout / "apps/_settings")
    assert new(checkout, "media/zoo", *WHAT) == 1
    assert capsys.readouterr().err.splitlines() == [
        (
            "./homelab new: --environment: has no choice: apps/_settings has no environment; "
            "./homelab settings writes those of every stack [environment-unknown]"
        ),
        "1 problem",
    ]
    assert not (checkout / "apps/media/zoo").exists()


def test_all_mistakes_are_reported_at_once_and_nothing_is_written(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong: dict[str, Any] = {
        "gateway": "pubic",
        "image": "docker.io/x/y",
        "port": "80",
        "volume": "config:2Gi",
        "health": "health",
    }
    flags = [part for name, value in wrong.items() for part in (f"--{name}", value)]
    hosts = ("--host", "jelly.example.org", "--host", "jellyfin.home.example.com")
    others = ("--secret", "api-key", "--environment", "stagign", "--port", "8080")
    assert new(checkout, "medai/Jelly_Seerr", *flags, *hosts, *others) == 1
    assert capsys.readouterr().err.splitlines() == [
        (
            "./homelab new: --environment = stagign: has no folder in apps/_settings; "
            "did you mean staging? [environment-unknown]"
        ),
        ("./homelab new: --gateway = pubic: is none of internal, public; did you mean public? [choice-unknown]"),
        ("./homelab new: --health = health: is not a path; write it as /health [path-malformed]"),
        (
            "./homelab new: --host = jelly.example.org: is neither a DNS label nor one below a stack's network.domain "
            "(dev.example.com, home.example.com, staging.example.com); write it as jelly [host-foreign]"
        ),
        (
            "./homelab new: --host = jelly.example.org, jellyfin.home.example.com: is given more than once; "
            "give it once [flag-twice]"
        ),
        (
            "./homelab new: --host = jellyfin: belongs to apps/media/jellyfin already; "
            "give each its own host [host-twice]"
        ),
        (
            "./homelab new: --image = docker.io/x/y: has no tag; "
            "name a whole version (1.2.3), a date, or a digest [image-unpinned]"
        ),
        (
            "./homelab new: --port = 80: must be 1024 to 65535: apps do not run as root; "
            "configure the program to listen on another port [out-of-range]"
        ),
        "./homelab new: --port = 80, 8080: is given more than once; give it once [flag-twice]",
        (
            "./homelab new: --secret = api-key: is not the name of an environment variable; "
            "write it as API_KEY [name-malformed]"
        ),
        (
            "./homelab new: --volume = config:2Gi: is not a path in the container and a size; "
            "write it as /config:5Gi [path-malformed]"
        ),
        (
            "./homelab new: APP = Jelly_Seerr: is not a DNS label that begins with a letter (RFC 1123); "
            "did you mean jelly-seerr? [name-malformed]"
        ),
        (
            "./homelab new: CATEGORY = medai: is no category: there is no apps/*/category.yaml of this name; "
            "did you mean media? [category-unknown]"
        ),
        "13 problems",
    ]
    theirs, ours = ({str(one.relative_to(at)) for one in (at / "apps").rglob("*")} for at in (checkout, ROOT))
    assert theirs == ours


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("media/jellyfin", *WHAT), "APP = jellyfin: exists already: apps/media/jellyfin; "),
        (
            ("jellyseerr", *WHAT),
            "CATEGORY/APP = jellyseerr: is not a category and an app; write it as media/jellyseerr; ",
        ),
        (("media/9", *WHAT), "APP = 9: is not a DNS label that begins with a letter (RFC 1123); use small letters"),
        (
            ("media/on", *WHAT),
            "APP = on: is true to YAML, and not a text; choose another name, such as on-app [name-malformed]",
        ),
        (("media/n", *WHAT), "APP = n: is false to YAML, and not a text"),
        (("media/null", *WHAT), "APP = null: is null to YAML, and not a text"),
        (("media/" + "a" * 60, *WHAT), "makes an Application's name of more than 63 characters; choose a shorter name"),
        (
            ("media/new", "--image", "x:latest", "--port", "8080"),
            "moves: latest is another image tomorrow; name a whole version",
        ),
        (("media/new", "--image", "x y", "--port", "8080"), "is not the name of an image; write it as docker.io/"),
        (
            ("media/new", *WHAT, "--volume", "/data:2GB"),
            "--volume = 2GB: is not a size in Mi, Gi or Ti; write it as 5Gi",
        ),
        (
            ("media/new", *WHAT, "--host", "a.b.home.example.com"),
            (
                "--host = a.b.home.example.com: is neither a DNS label nor one below a stack's network.domain "
                "(dev.example.com, home.example.com, staging.example.com); write it as a [host-foreign]"
            ),
        ),
        (("media/new", *WHAT, "--host", "home.example.com"), "--host = home.example.com: is neither a DNS label nor"),
        (("media/new", *WHAT, "--host", "Seerr"), "staging.example.com); write it as seerr [host-foreign]"),
        (("media/new", *WHAT, "--host", "*.home.example.com"), "); write it as jellyseerr [host-foreign]"),
        (
            ("media/new", "--image", "NGINX:1.2.3", "--port", "80a"),
            "--image = NGINX:1.2.3: is not the name of an image",
        ),
        (("media/new", "--image", "NGINX:1.2.3", "--port", "80a"), "--port = 80a: must be 1024 to 65535"),
        (("media/new", "--image", "a/b:testing", "--port", "8080"), "moves: testing is another image tomorrow"),
        (
            ("media/new", *WHAT, "--secret", "1A"),
            "--secret = 1A: is not the name of an environment variable; write it as A",
        ),
        (("media/" + "a" * 70, *WHAT), "; choose one of 63 characters at most"),
        (("media/new", *WHAT, "--volume", ""), "--volume: is not a path in the container and a size"),
        (
            ("media/new", *WHAT, "--port", "5056"),
            "--port = 5055, 5056: is given more than once; give it once [flag-twice]",
        ),
        (
            ("media/new", *WHAT, "--port", "5056", "--health", "x"),
            (
                "./homelab new: --health = x: is not a path; write it as /health [path-malformed]\n"
                "./homelab new: --port = 5055, 5056: is given more than once; give it once [flag-twice]\n2 problems\n"
            ),
        ),
        (
            ("media/new", *WHAT, "--host", "a.dev.example.com", "--host", "b.dev.example.com"),
            (
                "--host = a.dev.example.com, b.dev.example.com: is given more than once; "
                "give it once [flag-twice]\n1 problem\n"
            ),
        ),
        (
            ("media/new", *WHAT, "--environment", "qa"),
            (
                "--environment = qa: has no folder in apps/_settings; "
                "the environments are dev, production, staging [environment-unknown]"
            ),
        ),
        (
            ("crds/zoo", *WHAT),
            "CATEGORY = crds: is of the layer crds, which runs no workloads; choose one of ai, banking",
        ),
        (
            ("media/immich", *WHAT, "--host", "sonarr.dev.example.com"),
            "--host = sonarr: belongs to apps/media/sonarr already; give each its own host [host-twice]",
        ),
        (
            ("media/new", *WHAT, "--host", "sonarr", "--host", "sonarr.dev.example.com"),
            "--host = sonarr, sonarr.dev.example.com: is given more than once; give it once",
        ),
    ],
)
def test_a_mistake_is_refused_with_its_rule(
    arguments: tuple[str, ...], said: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(checkout, *arguments) == 1
    assert said in capsys.readouterr().err


def test_a_category_that_is_not_accepted_is_not_called_unknown(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "apps/media/category.yaml").write_text("layer: last\n", encoding="utf-8")
    assert new(checkout, "media/zoo", *WHAT) == 1
    rule = "CATEGORY = media: has a category.yaml that is not accepted"
    said = f"{rule}; ./homelab check reports the reason [category-unknown]"
    assert said in capsys.readouterr().err


def test_a_checkout_without_a_stack_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(tmp_path, "media/zoo", *WHAT) == 1
    assert "there is no stack file (Pulumi.<stack>.yaml); ./homelab init writes one" in capsys.readouterr().err


def test_a_digest_does_as_well_as_a_tag(checkout: Path) -> None:
    assert new(checkout, "media/new", "--image", f"ghcr.io/a/b@sha256:{'0' * 64}", "--port", "8080") == 0


def test_the_start_page_lists_apps_alphabetically_in_their_category() -> None:
    app = NewApp("books", "media", IMAGE, 80, "read", "internal", ("dev",))
    page = "# Every app.\n- ai:\n    - ollama: {}\n- media:\n    - albums: {}\n    - films: {}\n"
    line = '    - books: {href: "https://read.{{HOMEPAGE_VAR_DOMAIN}}"}\n'
    assert listed(page, "media", app) == page.replace("    - films", line + "    - films")
    assert listed(listed(page, "media", app), "media", app) == listed(page, "media", app)
    assert listed(page, "banking", app) == page.replace("- media:\n", "- banking:\n" + line + "- media:\n")


def test_a_users_edits_of_the_start_page_stay_unchanged() -> None:
    app = NewApp("books", "media", IMAGE, 80, "read", "internal", ("dev",))
    films = '  # Ours.\n  - "films":\n      href: "https://f"\n      widget: {type: x}\n'
    page = f"---\n- media:\n  - albums:\n      href: 'https://a'\n{films}  - aaa: {{}}\n\n# Last.\n- zoo:\n  - a: {{}}"
    line = '  - books: {href: "https://read.{{HOMEPAGE_VAR_DOMAIN}}"}\n'
    assert listed(page, "media", app) == page.replace(films, line + films) + "\n"
    assert listed(page, "zoo", app) == f"{page}\n{line}"
    assert {listed(other, "media", app) for other in ("media: {}\n", "- [\n")} == {""}


def test_the_command_of_the_documents_writes_what_check_accepts(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/how-to/add-an-app.md").read_text(encoding="utf-8")
    commands = re.findall(r"^ +\./homelab (new .+)$", page, re.MULTILINE)
    assert commands
    for command in (
        *commands,
        shlex.join(("new", "security/plain", *WHAT)),
        shlex.join(("new", "ai/full", *WHAT, *FULL)),
    ):
        assert main([*shlex.split(command), "--root", str(checkout)]) == 0
    capsys.readouterr()
    main(["check", "--json", "--root", str(checkout)])
    assert json.loads(capsys.readouterr().out)["problems"] == []
