"""The real controller of Argo Rollouts as a process, for the Deployment that runs it in the cluster.

The Deployment comes in, a process goes out that has its arguments and acts as its service account, so that the applied
roles limit it. Changed are the ports, the election, and the settings: the Deployment's ConfigMap names a plugin by its
URL, which no rehearsal fetches. So the controller reads a ConfigMap in `SETTINGS_IN`, with the same plugin as the file
of the pinned stand-in (`tools/argo-rollouts/main.go`). `lab.prometheus` answers the queries of its analyses.

Not simulated: other plugins, notifications, a second replica. `lab.caretaker` calls `reconcile`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

import programs
from lab.api import Api, Object, acting_as
from lab.layout import Lab
from lab.running import servers
from local.files import private_folder, write_private
from manifests.fields import mappings, text

NAME, PROMETHEUS = "rollouts-controller", "prometheus"
PROGRAM, PLUGIN = "rollouts-controller", "rollouts-gateway-plugin"
LABELS = "app.kubernetes.io/component=rollouts-controller"
SETTINGS, SETTINGS_IN = "argo-rollouts-config", "default"
PLUGINS, GATEWAY_API = "trafficRouterPlugins", "argoproj-labs/gatewayAPI"
# Its servers listen on every address: no flag limits them, so that both get a port that none can have.
CLOSED = ("--metricsPort=-1", "--healthzPort=-1")


def is_installed() -> bool:
    """Report whether the controller is on the PATH: a rehearsal has it only if its stack has a Rollout."""
    return programs.find(PROGRAM) is not None


def reconcile(lab: Lab, api: Api, before: str) -> str:
    """Run the controller if the cluster has its Deployment, else stop it; return the state, for the next call."""
    found = next(iter(api.list("apps/v1", "Deployment", labels=LABELS)), None)
    if found is None or not found["spec"].get("replicas", 1) or not is_installed():
        stop(lab)
        return ""
    administrator = lab.kubeconfig.read_text(encoding="utf-8")
    state = repr((found["metadata"]["uid"], found["metadata"]["generation"], administrator))
    if state != before or not all(servers.runs(lab, name) for name in (NAME, PROMETHEUS)):
        _run(lab, api, found, administrator)
    return state


def stop(lab: Lab) -> None:
    """Stop the controller, its plugin and its Prometheus, if they run."""
    if running := [name for name in (NAME, PROMETHEUS) if servers.runs(lab, name)]:
        servers.stop(lab, *running)


def _run(lab: Lab, api: Api, deployment: Object, administrator: str) -> None:
    namespace, pods = deployment["metadata"]["namespace"], deployment["spec"]["template"]["spec"]
    port = servers.port(lab, PROMETHEUS)
    python = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    servers.start(lab, PROMETHEUS, sys.executable, ["-m", "lab.prometheus", str(port)], {**python, **lab.environment})
    api.apply(_settings(api, namespace), field_manager=NAME, force=True)
    kubeconfig = lab.control_plane / f"{NAME}.kubeconfig"
    write_private(kubeconfig, acting_as(administrator, pods.get("serviceAccountName", "default"), namespace))
    given = pods["containers"][0].get("args") or []
    arguments = [*given, "--leader-elect=false", f"--kubeconfig={kubeconfig}", *CLOSED]
    servers.start(lab, NAME, PROGRAM, arguments, _environment(lab, kubeconfig, port), files=[kubeconfig], grace=0)


def _settings(api: Api, namespace: str) -> Object:
    """Return the ConfigMap of the controller, with those plugins that a rehearsal has."""
    applied = api.get("v1", "ConfigMap", SETTINGS, namespace)
    named = [one.get("name") for one in mappings({PLUGINS: yaml.safe_load(text(applied, "data", PLUGINS))}, PLUGINS)]
    ours = [{"name": GATEWAY_API, "location": f"file://{programs.find(PLUGIN)}"}] if GATEWAY_API in named else []
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": SETTINGS, "namespace": SETTINGS_IN},
        "data": {PLUGINS: yaml.safe_dump(ours)},
    }


def _environment(lab: Lab, kubeconfig: Path, prometheus: int) -> dict[str, str]:
    private_folder(lab.root / "rollouts")
    way_out = f"http://127.0.0.1:{servers.port(lab, 'proxy')}"
    return {
        "HOME": str(lab.root / "rollouts"),
        "TMPDIR": str(lab.root / "rollouts"),
        "POD_NAMESPACE": SETTINGS_IN,
        "KUBECONFIG": str(kubeconfig),  # the plugin has no flag for it
        "HTTP_PROXY": f"http://127.0.0.1:{prometheus}",
        "HTTPS_PROXY": way_out,
        "NO_PROXY": "127.0.0.1,localhost",
    }
