"""The plugins that a rehearsal uses, the reasons, and the refusal of a rehearsal without them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from errors import Declined
from ops.rehearsal.entry import _link_programs
from ops.rehearsal.plugins import INTERCHANGEABLE, Plugin, choose, program_of

ROOT = Path(__file__).parents[3]
STAND_INS = ROOT / "lab/plugins/bin"
VERSIONS = {name: version(package) for name, package in INTERCHANGEABLE.items()}
EVERY_NAME = {"command", "kubernetes", "proxmoxve", "random", "talos", "tls"}
FAKE_PULUMI = """\
#!/bin/sh
echo "$@" >>"$PULUMI_HOME/asked"
[ "$4" != tls ] || { echo "error: 404 HTTP error fetching plugin" >&2; exit 1; }
mkdir -p "$PULUMI_HOME/plugins/resource-$4-v$5"
printf '#!/bin/sh\\n' >"$PULUMI_HOME/plugins/resource-$4-v$5/pulumi-resource-$4"
chmod +x "$PULUMI_HOME/plugins/resource-$4-v$5/pulumi-resource-$4"
"""


def executable(file: Path, text: str = "#!/bin/sh\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
    return file


class User:
    """A user's PATH and PULUMI_HOME, and the messages that the user gets."""

    def __init__(self, folder: Path) -> None:
        """Make an empty PATH and PULUMI_HOME."""
        self.bin, self.home = folder / "bin", folder / "pulumi"
        self.home.mkdir()
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "PULUMI_HOME": str(self.home)}
        self.offline = "HOMELAB_OFFLINE=1"
        self.heard: list[str] = []

    def installs(self, name: str, version_: str = "") -> Path:
        folder = self.home / "plugins" / f"resource-{name}-v{version_ or VERSIONS[name]}"
        return executable(folder / program_of(name))

    def chosen(self, wish: str | None = None) -> dict[str, Plugin]:
        found = choose(wish, STAND_INS, self.env, self.heard.append, self.offline)
        assert [one.name for one in found] == sorted(EVERY_NAME)
        return {one.name: one for one in found}

    def asked(self) -> list[str]:
        file = self.home / "asked"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_only_an_installed_plugin_of_the_sdks_version_is_official(user: User) -> None:
    program = user.installs("kubernetes")
    user.installs("random", "1.2.3")
    found = user.chosen()
    official = found["kubernetes"]
    assert (official.kind, official.program) == ("official", program)
    assert (official.version, official.reason) == (VERSIONS["kubernetes"], "installed in PULUMI_HOME")
    for name in EVERY_NAME - {"kubernetes"}:
        assert (found[name].kind, found[name].program) == ("stand-in", STAND_INS / program_of(name))
    assert found["random"].reason == "not installed; HOMELAB_OFFLINE=1 forbids the download"


def test_a_plugin_on_the_path_precedes_an_installed_one(user: User) -> None:
    user.installs("tls")
    program = executable(user.bin / "pulumi-resource-tls")
    found = user.chosen()["tls"]
    assert (found.kind, found.program, found.version, found.reason) == ("official", program, "", "on the PATH")


def test_a_stand_in_on_the_path_is_not_official(user: User) -> None:
    user.bin.mkdir()
    (user.bin / "pulumi-resource-tls").symlink_to(STAND_INS / "pulumi-resource-tls")
    assert user.chosen()["tls"].kind == "stand-in"


def test_a_plugin_whose_download_is_not_complete_is_not_installed(user: User) -> None:
    folder = user.installs("command").parent
    folder.with_name(f"{folder.name}.partial").touch()
    assert user.chosen()["command"].kind == "stand-in"


def test_hardware_is_the_racks_whatever_is_installed(user: User) -> None:
    for name in ("proxmoxve", "talos"):
        executable(user.bin / program_of(name))
        user.installs(name, version({"talos": "pulumiverse_talos"}.get(name, f"pulumi_{name}")))
    _install_all(user)
    found = user.chosen("official")
    for name in ("proxmoxve", "talos"):
        assert (found[name].kind, found[name].reason) == ("stand-in", "acts on the rack")


def _install_all(user: User) -> None:
    for name in INTERCHANGEABLE:
        user.installs(name)


def test_stand_ins_by_hand_leave_installed_plugins_alone(user: User) -> None:
    _install_all(user)
    found = user.chosen("stand-in")
    assert {one.kind for one in found.values()} == {"stand-in"}
    assert found["tls"].reason == "--plugins stand-in"


def test_the_official_choice_is_refused_with_all_missing_plugins(user: User) -> None:
    user.installs("kubernetes")
    with pytest.raises(Declined) as refused:
        user.chosen("official")
    lines = str(refused.value).splitlines()
    assert lines[0] == "--plugins official: these official plugins cannot be had:"
    assert lines[1:-1] == [
        f"  {name} {VERSIONS[name]}: not installed; HOMELAB_OFFLINE=1 forbids the download"
        for name in ("command", "random", "tls")
    ]
    assert "pulumi plugin install resource NAME VERSION" in lines[-1]


def test_missing_plugins_are_installed_where_the_network_answers(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rehearsal.plugins.requests.head", lambda *arguments, **options: None)
    user.offline = ""
    executable(user.bin / "pulumi", FAKE_PULUMI)
    user.installs("random")
    found = user.chosen()
    assert user.asked() == [
        f"plugin install resource {name} {VERSIONS[name]}" for name in ("command", "kubernetes", "tls")
    ]
    assert [found[name].kind for name in ("command", "kubernetes", "random")] == ["official"] * 3
    assert found["tls"].kind == "stand-in"
    assert found["tls"].reason.startswith("not installed; pulumi plugin install: error: 404 HTTP error")
    assert user.heard[0] == f"installing the plugin command {VERSIONS['command']} (pulumi plugin install)"


def test_an_installation_that_does_not_end_is_bounded_in_time(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rehearsal.plugins.requests.head", lambda *arguments, **options: None)
    monkeypatch.setattr("ops.rehearsal.plugins.SECONDS_TO_INSTALL", 1)
    user.offline = ""
    executable(user.bin / "pulumi", "#!/bin/sh\nsleep 60\n")
    for name in ("command", "kubernetes", "random"):
        user.installs(name)
    assert "no end after 1 s" in user.chosen()["tls"].reason


def test_offline_and_without_an_answer_nothing_is_installed(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(user.bin / "pulumi", FAKE_PULUMI)
    user.chosen()
    monkeypatch.setattr("ops.rehearsal.plugins.SOURCE", "http://127.0.0.1:1")
    user.offline = ""
    assert user.chosen()["tls"].reason == "not installed; http://127.0.0.1:1 does not answer"
    assert user.asked() == []


def test_a_rehearsals_path_keeps_the_chosen_plugins_for_other_verbs(user: User, tmp_path: Path) -> None:
    real = executable(user.bin / "talosctl")
    program = user.installs("kubernetes")
    folder = tmp_path / "lab"
    folder.mkdir()
    _link_programs(folder, ROOT, str(user.bin), choose(None, STAND_INS, user.env, user.heard.append, user.offline))
    link = folder / "pulumi-resource-kubernetes"
    assert link.readlink() == program
    assert (folder / "pulumi-resource-tls").readlink() == STAND_INS / "pulumi-resource-tls"
    assert (folder / "talosctl-real").readlink() == real
    _link_programs(folder, ROOT, str(user.bin), ())
    assert link.readlink() == program
    program.unlink()
    _link_programs(folder, ROOT, str(user.bin), ())
    assert link.readlink() == STAND_INS / "pulumi-resource-kubernetes"
