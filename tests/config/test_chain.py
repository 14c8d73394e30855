"""The chain of environments: order, soak times, and its edits by init."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.chain import FILE, Chain, EnvironmentChain, read_chain, with_environment
from config.tree import read_tree

CHECKOUT = Path(__file__).parents[2]
TEXT = """\
# The order.
chain: [dev, staging, production] # of three
soak: {dev: 30m, staging: 2d}
appSoak:
  media/immich: {staging: 7d}
"""


def chain(**more: object) -> Chain:
    return Chain(EnvironmentChain.model_validate({"chain": ["dev", "staging", "production"], **more}))


def test_a_change_goes_from_one_environment_to_the_next() -> None:
    found = chain()
    assert [found.before(one) for one in found.environments] == ["", "dev", "staging"]
    assert found.before("elsewhere") == ""


def test_a_soak_is_that_of_the_app_then_of_the_environment_then_the_default() -> None:
    found = chain(soak={"staging": "2h"}, appSoak={"media/immich": {"staging": "1d", "dev": "1m"}})
    times = {one: found.soak_of(one).seconds for one in found.environments}
    assert times == {"dev": 3600, "staging": 2 * 3600, "production": 4 * 3600}
    assert found.soak_of("staging", "media/immich").seconds == 24 * 3600
    assert found.soak_of("dev", "media/immich").seconds == 60
    assert found.soak_of("production", "media/immich").seconds == 4 * 3600


def test_the_example_has_a_chain_and_no_chain_is_none(tmp_path: Path) -> None:
    assert read_chain(CHECKOUT, read_tree(CHECKOUT)).environments == ("dev", "staging", "production")
    assert read_chain(tmp_path, read_tree(tmp_path)).environments == ()


@pytest.mark.parametrize(
    ("like", "environment", "gone", "chain", "soak"),
    [
        ("staging", "qa", (), "dev, staging, qa, production", "dev: 30m, staging: 2d"),
        ("production", "home", ("dev", "staging", "production"), "home", ""),
        ("staging", "staging", ("dev",), "staging, production", "staging: 2d"),
        ("elsewhere", "qa", (), "dev, staging, production", "dev: 30m, staging: 2d"),
    ],
)
def test_init_changes_two_lines(like: str, environment: str, gone: tuple[str, ...], chain: str, soak: str) -> None:
    expected = TEXT.replace("dev, staging, production", chain).replace("dev: 30m, staging: 2d", soak)
    assert with_environment(TEXT, like, environment, gone) == expected


@pytest.mark.parametrize("text", ["chain:\n  - dev\n  - staging\n", "chain: [dev,\n  staging]\n", "{chain: [dev]}\n"])
def test_another_form_is_not_edited(text: str) -> None:
    assert with_environment(text, "dev", "qa", ("staging",)) is None


def test_a_chain_always_has_an_environment() -> None:
    assert with_environment("chain: [dev]\n", "elsewhere", "qa", ("dev",)) == "chain: [qa]\n"


def test_the_file_is_where_the_tree_allows_it() -> None:
    assert (CHECKOUT / FILE).is_file()
    assert read_tree(CHECKOUT).problems == ()
