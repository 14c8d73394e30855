"""`./homelab settings` writes the settings of every stack file, deletes stale ones, and changes nothing twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from config.app_settings import TEMPLATE
from config.code_owners import FILE, MARK, is_code_owner, requires_approval
from config.load import read_stack
from ops.__main__ import main
from tests.config.scenario import prepare

STACK, SETTINGS = "Pulumi.base.yaml", "apps/_settings/production"
VALUES = f"{SETTINGS}/values/kube-system/cilium.yaml"


def written(root: Path) -> dict[str, tuple[str, int]]:
    """Return the content and the time of each file of the settings."""
    files = [path for path in (root / "apps/_settings").rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): (path.read_text(encoding="utf-8"), path.stat().st_mtime_ns) for path in files}


def run(root: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["settings", "--root", str(root)]) == 0
    return capsys.readouterr().out.splitlines()


def change_domain(root: Path) -> None:
    text = (root / STACK).read_text(encoding="utf-8")
    assert text.count("domain: home.example.com\n") == 1
    (root / STACK).write_text(text.replace("home.example.com", "new.example.com"), encoding="utf-8")


def test_settings_that_are_current_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    before = written(tmp_path)
    assert VALUES in before
    assert run(tmp_path, capsys) == ["no file changed"]
    assert written(tmp_path) == before


def test_a_changed_stack_file_is_written_once_and_passes_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    before = written(tmp_path)
    change_domain(tmp_path)
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    assert "[settings-stale]" in capsys.readouterr().out
    said = run(tmp_path, capsys)
    after = written(tmp_path)
    changed = sorted(name for name in after if after[name] != before[name])
    assert f"{SETTINGS}/settings.yaml" in changed
    assert said == [*(f"wrote {name}" for name in changed), _counted(changed)]
    assert "networkDomain: new.example.com\n" in after[f"{SETTINGS}/settings.yaml"][0]
    assert run(tmp_path, capsys) == ["no file changed"]
    assert written(tmp_path) == after
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0


def test_missing_files_are_written_and_stale_ones_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    before = {name: text for name, (text, _) in written(tmp_path).items()}
    stale = f"{SETTINGS}/values/media/gone.yaml"
    (tmp_path / VALUES).unlink()
    (tmp_path / stale).parent.mkdir(parents=True)
    (tmp_path / stale).write_text("host: gone.home.example.com\n", encoding="utf-8")
    assert run(tmp_path, capsys) == [f"wrote {VALUES}", f"deleted {stale}", "2 files changed; commit them"]
    assert {name: text for name, (text, _) in written(tmp_path).items()} == before


def test_the_owners_of_categories_are_written_where_the_file_has_the_mark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({"replace": {"apps/media/category.yaml": {"[family]": '[family, "@me", "@org/family", "@me"]'}}}, tmp_path)
    file = tmp_path / FILE
    assert run(tmp_path, capsys) == ["no file changed"], "without the file nothing is written"
    file.parent.mkdir()
    mine = "# mine\n* @old\n* @me @org/maintainers # all\n\n"
    file.write_text(mine, encoding="utf-8")
    assert run(tmp_path, capsys) == ["no file changed"], "without the mark the file is the operator's"
    file.write_text(f"{mine}{MARK}/apps/gone/ @gone\n", encoding="utf-8")
    assert run(tmp_path, capsys) == [f"wrote {FILE}", "1 file changed; commit them"]
    lines = "/apps/media/ @me @org/family\n/apps/*/category.yaml @me @org/maintainers\n"
    assert file.read_text(encoding="utf-8") == f"{mine}{MARK}{lines}"
    assert run(tmp_path, capsys) == ["no file changed"]
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0


def test_an_environment_with_approval_belongs_to_its_approvers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = "    environment: production"
    approved = f'{environment}\n    gates: {{approval: required, approvers: ["@me", "@org/team", "@me"]}}'
    prepare({"replace": {STACK: {environment: approved}}}, tmp_path)
    file = tmp_path / FILE
    file.parent.mkdir()
    file.write_text(f"* @org/maintainers\n{MARK}", encoding="utf-8")
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    expected = (
        "differs from the owners of the categories and the approvers of the environments; run `./homelab settings`"
    )
    assert expected in capsys.readouterr().out
    assert run(tmp_path, capsys) == [f"wrote {FILE}", "1 file changed; commit them"]
    places = ("apps/*/*/production/", "apps/_settings/production/", STACK)

    def lines(owners: str) -> str:
        of_environment = "".join(f"/{place} {owners}\n" for place in places)
        return f"* @org/maintainers\n{MARK}{of_environment}/apps/*/category.yaml @org/maintainers\n"

    assert file.read_text(encoding="utf-8") == lines("@me @org/team")
    stack = tmp_path / STACK
    text = stack.read_text(encoding="utf-8").replace(approved, f"{environment}\n    gates: {{approval: required}}")
    stack.write_text(text, encoding="utf-8")
    run(tmp_path, capsys)
    assert file.read_text(encoding="utf-8") == lines("@org/maintainers"), "without approvers, the maintainers'"
    stack.write_text(text.replace("approval: required", "approval: none"), encoding="utf-8")
    run(tmp_path, capsys)
    assert "production" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("stated", [True, False])
def test_a_promotion_knows_whether_an_environment_requires_approval(stated: bool, tmp_path: Path) -> None:
    environment = "    environment: production"
    approval = f"{environment}\n    gates: {{approval: required}}"
    prepare({"replace": {STACK: {environment: approval}}} if stated else {}, tmp_path)
    assert requires_approval(read_stack(tmp_path / STACK).require()) is stated


@pytest.mark.parametrize("content", [b"\xff", None], ids=["no text", "link"])
def test_owners_are_written_into_a_regular_file_alone(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    file, beside = tmp_path / FILE, tmp_path / "beside"
    file.parent.mkdir()
    beside.write_text(MARK, encoding="utf-8")
    file.symlink_to(beside) if content is None else file.write_bytes(content)
    assert main(["settings", "--root", str(tmp_path)]) == 1
    rule = "is a link" if content is None else "is not UTF-8"
    said = f"{FILE}: cannot be read: {rule}; put a regular file there [code-owners-stale]\n1 problem\n"
    assert capsys.readouterr().err == said
    assert beside.read_text(encoding="utf-8") == MARK


@pytest.mark.parametrize(
    ("owner", "accepted"),
    [
        ("@me", True),
        ("@my-org/the_team-1", True),
        ("me@example.com", True),
        ("family", False),
        ("platform:admins", False),
        ("@", False),
        ("@-me", False),
        ("@me-", False),
        ("@me--you", False),
        (f"@{'a' * 40}", False),
        ("@org/", False),
        ("@org/team/more", False),
        ("me@localhost", False),
        ("@me\n* @thief", False),
        ("@me @thief", False),
    ],
)
def test_an_owner_that_github_does_not_know_is_no_code_owner(owner: str, accepted: bool) -> None:
    assert is_code_owner(owner) is accepted


def test_the_values_of_an_app_leave_with_its_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({"remove": ["apps/kube-system/cilium/production"]}, tmp_path)
    (tmp_path / VALUES).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / VALUES).write_text("k8sServiceHost: 10.0.0.5\n", encoding="utf-8")
    assert run(tmp_path, capsys) == [f"deleted {VALUES}", "1 file changed; commit them"]


def test_the_output_for_programs_lists_the_changed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    (tmp_path / VALUES).unlink()
    assert main(["settings", "--json", "--root", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == [VALUES]


def test_a_checkout_without_a_stack_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said == "there is no stack file (Pulumi.<stack>.yaml): ./homelab init writes one\n"


def test_a_stack_file_with_problems_is_refused_before_any_other_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    before = written(tmp_path)
    text = (tmp_path / STACK).read_text(encoding="utf-8")
    good = text.replace("environment: production", "environment: dev")
    (tmp_path / "Pulumi.a.yaml").write_text(good, encoding="utf-8")
    (tmp_path / STACK).write_text(text.replace("domain: home.example.com", "domain: -"), encoding="utf-8")
    assert main(["settings", "--root", str(tmp_path)]) == 1
    assert f"{STACK}:" in capsys.readouterr().err
    assert written(tmp_path) == before


def outside(root: Path) -> tuple[Path, dict[str, str]]:
    """Return a folder beside the checkout with a copy of the settings and one more file, and its content."""
    beside = root.parent / "outside"
    shutil.copytree(root / SETTINGS, beside)
    (beside / "notes.txt").write_text("keep\n", encoding="utf-8")
    (beside / "settings.yaml").write_text("mine\n", encoding="utf-8")
    return beside, contents(beside)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("apps/_settings", "."),
        (SETTINGS, "."),
        (f"{SETTINGS}/settings.yaml", "settings.yaml"),
        (f"{SETTINGS}/values", "values"),
        (f"{SETTINGS}/new.yaml", "settings.yaml"),
        (f"{SETTINGS}/broken.yaml", "nothing"),
    ],
)
@pytest.mark.parametrize("verb", ["settings", "init"])
def test_nothing_is_written_or_deleted_through_a_link(
    verb: str, link: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "checkout"
    prepare({}, root)
    beside, before = outside(root)
    place = root / link
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    if link == "apps/_settings":
        (beside / "production").mkdir()
    place.symlink_to(beside / target)
    change_domain(root)
    here = contents(root)
    asked = ["--stack", "production", "--repository", "https://example.com/a.git", "--domain", "me.example.com"]
    assert main([verb, *(asked if verb == "init" else []), "--root", str(root)]) == 1
    assert capsys.readouterr().err == (
        f"{link}: is a link, and `./homelab settings` writes through none; "
        "put the file or the folder itself there [folder-linked]\n1 problem\n"
    )
    assert (contents(beside), contents(root)) == (before, here)


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        (f"{SETTINGS}/issuer", "is neither a file nor a folder"),
        (f"{SETTINGS}/settings.yaml", "is neither a file nor a folder"),
    ],
)
def test_a_pipe_among_the_settings_is_refused(
    place: str, rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    if (tmp_path / place).is_dir():
        shutil.rmtree(tmp_path / place)
    (tmp_path / place).unlink(missing_ok=True)
    os.mkfifo(tmp_path / place)
    message = f"{place}: {rule}; remove it [file-unreadable]"
    assert main(["settings", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{message}\n1 problem\n"
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    assert message in capsys.readouterr().out


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    place = f"{SETTINGS}/settings.yaml"
    (tmp_path / place).unlink()
    (tmp_path / place).mkdir()
    change_domain(tmp_path)
    assert main(["settings", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{place}: is in the place of a file; remove it [file-unreadable]\n1 problem\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", ":1: byte 0xff: is not UTF-8; save the file as UTF-8 [yaml-encoding]"),
        (
            b"a: 1\nb: [\n",
            ":3: is not YAML: did not find expected node content; look at this line and the one above it [yaml-syntax]",
        ),
        (
            b"host: {network.domain}/path\n",
            (
                ":1: host: {network.domain}/path: is not YAML: did not find expected key; "
                "look at this line and the one above it [yaml-syntax]"
            ),
        ),
        (b"x8Qk/2 Z\n", ": is not a map of values; write one `key: value` per line [template-malformed]"),
        (
            b"'{network.domain}': 1\nhome.example.com: 2\n",
            ":2: home.example.com: the key stands twice, first on line 1; keep one of them [yaml-duplicate-key]",
        ),
        (
            b"a: 1\n---\nb: 2\n",
            (
                ":3: a second document begins here, and it is never read; "
                "move it to the first one, or remove it [document-second]"
            ),
        ),
        (
            b"# " + b"x" * (1 << 20),
            ": is larger than 1 MiB; make it a readable file of this repository of at most 1 MiB [file-unreadable]",
        ),
        (
            None,
            (
                ": leads out of the checkout; make it a readable file of this repository of at most 1 MiB "
                "[file-unreadable]"
            ),
        ),
    ],
)
def test_a_template_that_is_no_yaml_is_a_problem_of_both_verbs(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    file = f"apps/kube-system/cilium/base/{TEMPLATE}"
    (tmp_path / file).unlink()
    if content is None:
        (tmp_path / file).symlink_to("/etc/hostname")
    else:
        (tmp_path / file).write_bytes(content)
    before = written(tmp_path)
    assert main(["settings", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{file}{message}\n1 problem\n"
    assert written(tmp_path) == before
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    assert f"{file}{message}" in capsys.readouterr().out.splitlines()


def test_init_writes_nothing_if_a_template_is_no_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    file = f"apps/kube-system/cilium/base/{TEMPLATE}"
    (tmp_path / file).write_text("just a text\n", encoding="utf-8")
    before = contents(tmp_path)
    asked = ["--stack", "qa", "--repository", "https://example.com/a.git", "--domain", "me.example.com"]
    assert main(["init", *asked, "--root", str(tmp_path)]) == 1
    message = f"{file}: is not a map of values; write one `key: value` per line [template-malformed]"
    assert capsys.readouterr().err == f"{message}\n1 problem\n"
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (1 << 21)])
def test_settings_that_cannot_be_read_are_stale_and_written_again(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({}, tmp_path)
    file = f"{SETTINGS}/settings.yaml"
    (tmp_path / file).write_bytes(content)
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{file}: differs from {STACK}; run `./homelab settings` and commit the result [settings-stale]\n" in said
    assert run(tmp_path, capsys) == [f"wrote {file}", "1 file changed; commit them"]
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("environment", "fix"),
    [
        ("prodution", "did you mean production? ./homelab init writes a new one"),
        ("qa", "./homelab init writes a new one"),
    ],
)
def test_a_misspelt_environment_does_not_become_real(
    environment: str, fix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({"replace": {STACK: {"environment: production": f"environment: {environment}"}}}, tmp_path)
    before = written(tmp_path)
    assert main(["settings", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"{STACK}:34: delivery.environment = {environment}: has no folder in apps/_settings, and no app has one of "
        f"this name; {fix} [environment-unknown]\n1 problem\n"
    )
    assert written(tmp_path) == before


def test_the_settings_of_an_environment_that_apps_have_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Git keeps no empty folder, so that the first run makes the folder of the settings."""
    prepare({}, tmp_path)
    before = {name: text for name, (text, _) in written(tmp_path).items()}
    own = contents(tmp_path / SETTINGS)
    shutil.rmtree(tmp_path / SETTINGS)
    assert run(tmp_path, capsys)[-1] == f"{len(own)} files changed; commit them"
    assert {name: text for name, (text, _) in written(tmp_path).items()} == before


def _counted(changed: list[str]) -> str:
    return f"{len(changed)} file{'s' if len(changed) > 1 else ''} changed; commit them"
