"""Names on the command line, and each wrong one with its whole message."""

from __future__ import annotations

import pytest

from config.category import Category
from config.chain import Chain, EnvironmentChain
from config.tree import App, CategoryFolder, Tree
from ops.promotion.names import Passage, labels_of, passage

CHAIN = Chain(EnvironmentChain(chain=("dev", "qa", "staging", "production")))


def tree(*labels: str) -> Tree:
    apps = tuple(
        App(category, name, "dev", "kustomization") for category, _, name in (one.partition("/") for one in labels)
    )
    categories = sorted({app.category for app in apps})
    return Tree(
        tuple(
            CategoryFolder(
                one, f"apps/{one}", Category(layer="applications"), tuple(app for app in apps if app.category == one)
            )
            for one in categories
        )
    )


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("dev", "qa", Passage("dev", "qa")),
        ("", "staging", Passage("qa", "staging")),
        ("qa", "", Passage("qa", "staging")),
        ("", "production", Passage("staging", "production", is_last=True)),
    ],
)
def test_one_of_the_two_environments_can_be_left_out(source: str, target: str, expected: Passage) -> None:
    assert passage(CHAIN, source, target) == (expected, [])


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            "dev",
            "production",
            (
                "--to = production: gets its changes from staging, and not from dev: the chain is dev -> qa ->"
                " staging ->"
                " production; promote to qa first [promotion-skips]"
            ),
        ),
        (
            "staging",
            "qa",
            (
                "--to = qa: gets its changes from dev, and not from staging: the chain is dev -> qa -> staging ->"
                " production; ./homelab promote --from dev --to qa [promotion-skips]"
            ),
        ),
        (
            "",
            "dev",
            (
                "--to = dev: is the first environment of the chain, and follows its branch; merge the change into the"
                " branch [promotion-skips]"
            ),
        ),
        (
            "production",
            "",
            (
                "--from = production: is the last environment of the chain; the chain is dev -> qa -> staging ->"
                " production [promotion-skips]"
            ),
        ),
        (
            "",
            "",
            (
                "--to: is missing, and so is --from; name one of them: the chain is dev -> qa -> staging -> production"
                " [promotion-skips]"
            ),
        ),
        (
            "",
            "stagin",
            "--to = stagin: is no environment of the chain; did you mean staging? [environment-unknown]",
        ),
        (
            "x",
            "qa",
            "--from = x: is no environment of the chain; dev -> qa -> staging -> production [environment-unknown]",
        ),
    ],
)
def test_a_wrong_way_is_refused(source: str, target: str, message: str) -> None:
    found, (problem,) = passage(CHAIN, source, target)
    assert found is None
    assert str(problem) == f"./homelab promote: {message}"


def test_without_a_chain_there_is_no_promotion() -> None:
    found, (problem,) = passage(Chain(), "dev", "qa")
    assert found is None
    assert str(problem) == (
        "apps/environments.yaml: no chain of environments is declared; write `chain: [dev, staging, production]`"
        " into it"
        " [chain-missing]"
    )


def test_an_app_has_three_names_and_infrastructure_one() -> None:
    known = tree("media/immich", "kube-system/cilium", "crds/gateway-api", "system/argocd")
    names = ("immich", "media-immich", "media/immich", "talos", "cilium", "gateway-api", "argocd", "extensions")
    labels = ["media/immich", "talos", "kube-system/cilium", "crds/gateway-api", "system/argocd", "extensions"]
    assert labels_of(known, names) == (labels, [])


def test_unknown_and_ambiguous_names_are_refused_at_once() -> None:
    known = tree("media/immich", "selfhosted/home", "tools/home")
    _, problems = labels_of(known, ("imich", "home", "xyz", "media/immich"))
    assert [str(one) for one in problems] == [
        (
            "./homelab promote: imich: is no app, and no part of the infrastructure; did you mean immich?"
            " [promotion-unknown]"
        ),
        (
            "./homelab promote: home: is an app of several categories: selfhosted/home, tools/home; write category/app"
            " [promotion-unknown]"
        ),
        (
            "./homelab promote: xyz: is no app, and no part of the infrastructure; talos, kubernetes, extensions are"
            " parts [promotion-unknown]"
        ),
    ]
