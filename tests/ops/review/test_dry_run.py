"""The verdicts of an API server: its error output as kubectl writes it, and guesses that it confirms or refutes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from errors import ProgramFailed, TookTooLong
from ops.argocd.client import ArgoCDClient
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.register import dangers
from ops.review.dangers.verdicts import Verdict, judged, read
from ops.review.dry_run import verdicts
from ops.review.report import Danger
from tests.ops.review.dangers.changes import change, table

SECRET = "hunter2" + "Ab9"
OUTPUT = table("verdicts.yaml")


@pytest.mark.parametrize("row", OUTPUT, ids=range(len(OUTPUT)))
def test_the_output_of_kubectl_is_a_verdict_without_a_value(row: dict[str, str]) -> None:
    found = read(row["output"])
    assert {found.answer: found.reason} == {key: value for key, value in row.items() if key != "output"}
    assert SECRET not in found.reason


def test_a_long_reason_is_cut() -> None:
    found = read(f'admission webhook "a" denied the request: {"no " * 200}')
    assert len(found.reason) == 401
    assert found.reason.endswith("…")


class Server(ArgoCDClient):
    """An API server that refuses objects of some names, and one that does not answer at all."""

    refused: dict[str, str]
    is_up: bool
    calls: list[dict[str, Any]]

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        if arguments[:2] == ("get", "--raw"):
            if not self.is_up:
                raise ProgramFailed("no", status=1, output="connection refused")
            return "ok"
        assert arguments == (
            *("apply", "--dry-run=server", "--server-side", "--force-conflicts"),
            *("--field-manager=argocd-controller", "--validate=false", "--filename=-"),
        )
        items = json.loads(stdin or "")["items"]
        self.calls.append({one["metadata"]["name"]: one["metadata"].get("namespace") for one in items})
        for one in items:
            if output := self.refused.get(one["metadata"]["name"]):
                if output == "slow":
                    raise TookTooLong("slow")
                raise ProgramFailed("kubectl failed", status=1, output=output)
        return ""


def _server(refused: dict[str, str], *, is_up: bool = True) -> Server:
    made = Server({})
    for name, value in {"refused": refused, "is_up": is_up, "calls": []}.items():
        object.__setattr__(made, name, value)
    return made


def _set(name: str, service: str) -> dict[str, Any]:
    spec = {"serviceName": service}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}


NAMES = ("a", "b", "c")
ROW = {"before": [_set(name, "x") for name in NAMES], "after": [_set(name, "y") for name in NAMES]}
REASON = "spec.serviceName cannot change: delete the object first, or give the new one another name"


def _subjects() -> Iterator[ObjectPair]:
    return (one for _, one in change(ROW).objects)


def _judged(server: Server) -> dict[str, tuple[str, str, str]]:
    found = judged(dangers(change(ROW)), {"base": verdicts(server, _subjects())})
    return {one.where[-1]: (one.rule, one.reason, one.certainty) for one in found}


def test_an_accepted_object_is_no_danger_and_one_request_is_enough() -> None:
    server = _server({})
    assert _judged(server) == {}
    assert [sorted(call) for call in server.calls] == [["a", "b", "c"]]


def test_each_object_is_judged_alone_where_one_is_refused() -> None:
    immutable = 'The StatefulSet "a" is invalid: spec: Forbidden: field is immutable'
    denied = 'admission webhook "x" denied the request: no'
    server = _server({"a": immutable, "b": denied, "c": "slow"})
    assert _judged(server) == {
        "a": ("immutable-field", immutable, "judged by the API server"),
        "b": ("refused-by-api-server", denied, "judged by the API server"),
        "c": ("immutable-field", REASON, "guessed"),
    }


def test_a_cluster_that_does_not_answer_leaves_the_guesses() -> None:
    server = _server({}, is_up=False)
    assert set(_judged(server).values()) == {("immutable-field", REASON, "guessed")}
    assert server.calls == []


def test_a_removed_object_and_a_hook_are_not_applied() -> None:
    hook = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "h", "annotations": {"helm.sh/hook": "test"}}}
    made = change({"before": _set("a", "x"), "after": hook})
    server = _server({})
    assert verdicts(server, (one for _, one in made.objects)) == {}
    assert server.calls == []


def test_a_guess_stays_for_the_stack_whose_cluster_does_not_answer() -> None:
    danger = Danger(rule="immutable-field", where="w", reason="r", stacks=("a", "b", "c"), certainty="guessed")
    found = judged([danger], {"a": {"w": Verdict("accepted")}, "b": {"w": Verdict("immutable", "is immutable")}})
    assert [(one.stacks, one.reason, one.certainty) for one in found] == [
        (("c",), "r", "guessed"),
        (("b",), "is immutable", "judged by the API server"),
    ]
