"""Real error messages of kustomize and helm are shortened to their cause and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import ProgramFailed, TookTooLong
from manifests import program_errors
from manifests.checkout import CheckoutReader
from tests.manifests.checkout import lay

HELM = (
    ": unable to run: 'helm template c /copy/apps/a/charts/c-1.0.0/c -f "
    "/tmp/kustomize-helm-154/c-kustomize-values.yaml'"
    " with env=[HELM_CONFIG_HOME=/tmp/kustomize-helm-154/helm] (is 'helm' installed?): exit status 1"
)
BECAUSE = "must build at directory: not a valid directory: evalsymlink failure on"
MESSAGES = [
    pytest.param(
        "Error: accumulating resources: accumulation err='accumulating resources from 'gone.yaml': open "
        f"/copy/apps/a/gone.yaml: no such file or directory': {BECAUSE} '/copy/apps/a/gone.yaml' : lstat "
        "/copy/apps/a/gone.yaml: no such file or directory",
        "accumulating resources from 'gone.yaml': open apps/a/gone.yaml: no such file or directory",
        ("apps/a/kustomization.yaml", 2),
    ),
    pytest.param(
        "Error: accumulating resources: accumulating resources from 'cm.yaml': MalformedYAMLError: yaml: line 3: did "
        "not find expected key in File: cm.yaml",
        "accumulating resources from 'cm.yaml': MalformedYAMLError: yaml: line 3: did not find expected key in File: "
        "cm.yaml",
        ("apps/a/cm.yaml", 3),
    ),
    pytest.param(
        "Error: accumulating resources: accumulation err='accumulating resources from '../base': read /copy/apps/base: "
        "is a directory': recursed accumulation of path '/copy/apps/base': accumulating resources: accumulation "
        "err='accumulating resources from 'inner.yaml': missing kind in object {{v1 } {{x } map[] map[]}}': must build "
        "at directory: '/copy/apps/base/inner.yaml': file is not directory",
        "in apps/base: accumulating resources from 'inner.yaml': missing kind in object {{v1 } {{x } map[] map[]}}",
        ("apps/base/inner.yaml", 0),
    ),
    pytest.param(
        "# Warning: 'commonLabels' is deprecated. Please use 'labels' instead.\nError: accumulating resources: "
        "accumulation err='accumulating resources from '..': read /copy/apps: is a directory': cycle detected: "
        "candidate root '/copy/apps' contains visited root '/copy/apps/a'",
        "accumulating resources: cycle detected: candidate root 'apps' contains visited root 'apps/a'",
        ("apps/a/kustomization.yaml", 0),
    ),
    pytest.param(
        "Error: loading KV pairs: file sources: [settings.ini]: open /checkout/apps/a/settings.ini: no such file",
        "loading KV pairs: file sources: [settings.ini]: open apps/a/settings.ini: no such file",
        ("apps/a/kustomization.yaml", 6),
    ),
    pytest.param(
        f"Error: Error: execution error at (c/templates/cm.yaml:4:11): give a name\n\nUse --debug flag to render out "
        f"invalid YAML\n{HELM}",
        "execution error at (c/templates/cm.yaml:4:11): give a name",
        ("apps/a/kustomization.yaml", 4),
    ),
    pytest.param(
        "Error: Error: failed to parse /tmp/kustomize-helm-313/c-kustomize-values.yaml: error converting YAML to JSON: "
        f"yaml: line 1: did not find expected node content\n{HELM}",
        "failed to parse the values of c: error converting YAML to JSON: yaml: line 1: did not find expected node "
        "content",
        ("apps/a/kustomization.yaml", 4),
    ),
    pytest.param(
        'Error: no resource matches strategic merge patch "ConfigMap.v1.[noGrp]/y.[noNs]": no matches for Id',
        'no resource matches strategic merge patch "ConfigMap.v1.[noGrp]/y.[noNs]": no matches for Id',
        ("apps/a/kustomization.yaml", 0),
    ),
    pytest.param(
        'level=WARN msg="found symbolic link"\nError: values don\'t meet the specifications of the schema(s) in the '
        "following chart(s):\nc:\n- at '/x': got number, want string",
        "values don't meet the specifications of the schema(s) in the following chart(s): c: - at '/x': got number, "
        "want string",
        ("apps/a/kustomization.yaml", 4),
    ),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    lay(
        tmp_path,
        {
            "apps/a/kustomization.yaml": """\
                resources:
                  - gone.yaml
                helmCharts:
                  - name: c
                configMapGenerator:
                  - files: [settings.ini]
                """,
            "apps/a/cm.yaml": "",
            "apps/base/kustomization.yaml": "resources: [inner.yaml]\n",
            "apps/base/inner.yaml": "",
        },
    )
    return tmp_path


@pytest.mark.parametrize(("output", "message", "place"), MESSAGES)
def test_a_message_is_cleaned_and_placed(checkout: Path, output: str, message: str, place: tuple[str, int]) -> None:
    output = output.replace("/checkout", str(checkout))
    error = ProgramFailed("kustomize: exit code 1", status=1, output=output)
    files = ["apps/a/kustomization.yaml", "apps/base/kustomization.yaml"]
    found = program_errors.problem(error, "apps/a", files, CheckoutReader(checkout), Path("/copy"))
    assert found.rule == message
    assert (found.file, found.line) == place


@pytest.mark.parametrize(
    ("said_of", "place"),
    [
        ("at '/metrics/ports/0': got string, want integer", ("apps/a/more.yaml", 2)),
        ("at '': additional properties 'who' not allowed", ("apps/a/values.yaml", 1)),
        ("at '/inner': got string, want number", ("apps/a/values.yaml", 3)),
        ("at '/nowhere': got string, want number", ("apps/a/kustomization.yaml", 4)),
    ],
)
def test_a_value_that_a_charts_schema_refuses_is_found(checkout: Path, said_of: str, place: tuple[str, int]) -> None:
    values = {"apps/a/values.yaml": "who: 1\nc:\n  inner: x\n", "apps/a/more.yaml": "metrics:\n  ports: [x]\n"}
    lay(checkout, values)
    output = (
        f"Error: values don't meet the specifications of the schema(s) in the following chart(s):\nc:\n- {said_of}\n"
    )
    error = ProgramFailed("helm: exit code 1", status=1, output=output)
    found = program_errors.problem(
        error, "apps/a", ["apps/a/kustomization.yaml"], CheckoutReader(checkout), values=tuple(values)
    )
    assert (found.file, found.line) == place


def test_a_field_of_another_type_is_found_by_its_value(checkout: Path) -> None:
    lay(checkout, {"apps/base/kustomization.yaml": "namespace: a\nresources: inner.yaml\n"})
    output = "Error: invalid Kustomization: json: cannot unmarshal string into Go struct field Kustomization.resources"
    error = ProgramFailed("kustomize: exit code 1", status=1, output=f"{output} of type []string")
    files = ["apps/a/kustomization.yaml", "apps/base/kustomization.yaml"]
    found = program_errors.problem(error, "apps/a", files, CheckoutReader(checkout))
    assert (found.file, found.line) == ("apps/base/kustomization.yaml", 2)


def test_a_program_that_does_not_end_is_reported(checkout: Path) -> None:
    error = TookTooLong(f"kustomize build {checkout}/apps/a (in {checkout}): no end after 120 s")
    found = program_errors.problem(error, "apps/a", ["apps/a/kustomization.yaml"], CheckoutReader(checkout))
    assert found.rule == "kustomize build apps/a (in .): no end after 120 s"


def test_a_long_message_is_cut() -> None:
    assert program_errors.cleaned(f"Error: {'x' * 5000}") == f"{'x' * program_errors.LONGEST}..."
