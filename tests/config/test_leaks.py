"""Secrets in Git are found in each usual style, and text about secrets is accepted.

The secrets are assembled at run time, so that this file contains none.
"""

from __future__ import annotations

import base64
import json
import random
import string
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import tokens
from config.leaks import leaks, repository_leaks
from errors import Problem

ROOT = Path(__file__).parents[2]
CHOICE = random.Random(14)
PW = "hunter" + "2"
LETTERS, HEX = string.ascii_letters + string.digits, "0123456789abcdef"


def made(size: int, signs: str = LETTERS) -> str:
    return "".join(CHOICE.choice(signs) for _ in range(size))


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def pem(kind: str) -> str:
    body = "\n".join(made(64) for _ in range(4))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n"


UUID = "-".join(made(size, HEX) for size in (8, 4, 4, 4, 12))
JWT = ".".join(("ey" + "J" + coded('{"alg":"HS256"}')[3:].rstrip("="), "ey" + "J" + made(40), made(43)))
AUTHS = json.dumps({"auths": {"ghcr.io": {"auth": coded(f"me:{PW}")}}})
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n    - name: x\n"
STORED = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\nspec:\n"
ROUTE = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x}\nspec:\n  rules:\n    - filters:\n"
)
APP = "apps/media/x/"

SECRETS: Mapping[str, tuple[str, str]] = {
    "a Secret's text": (APP + "a.yaml", SECRET + f"stringData:\n  password: {PW}\n"),
    "a Secret's data": (APP + "a.yaml", SECRET + f"data:\n  x: {coded(PW)}\n"),
    "a Secret on one line": (APP + "a.yaml", f"{{apiVersion: v1, kind: Secret, stringData: {{password: {PW}}}}}\n"),
    "a Secret in JSON": (APP + "a.json", json.dumps({"apiVersion": "v1", "kind": "Secret", "stringData": {"x": PW}})),
    "a Secret in a List": (
        APP + "a.yaml",
        f"apiVersion: v1\nkind: List\nitems: [{{apiVersion: v1, kind: Secret, stringData: {{x: {PW}}}}}]\n",
    ),
    "a Secret behind a reference in a List": (
        APP + "a.yaml",
        f"kind: List\nitems: [{{kind: ExternalSecret}}, {{apiVersion: v1, kind: Secret, stringData: {{x: {PW}}}}}]\n",
    ),
    "a Secret with an anchor": (APP + "a.yaml", f"x: &x {{password: {PW}}}\n---\n" + SECRET + "stringData: {a: b}\n"),
    "a Secret in an inline patch": (
        APP + "kustomization.yaml",
        (
            "patches:\n  - patch: |\n      apiVersion: v1\n      kind: Secret\n      metadata: {name: x}\n"
            f"      stringData: {{a: {PW}}}\n"
        ),
    ),
    "a Secret in a JSON patch": (
        APP + "kustomization.yaml",
        f"patches:\n  - target: {{kind: Secret}}\n    patch: '[{{op: add, path: /stringData/x, value: {PW}}}]'\n",
    ),
    "literals of a Secret": (APP + "kustomization.yaml", f"secretGenerator:\n  - {{name: x, literals: [a={PW}]}}\n"),
    "a file of a Secret": (APP + "kustomization.yaml", "secretGenerator: [{name: x, envs: [x.env]}]\n"),
    "literals of a ConfigMap": (
        APP + "kustomization.yaml",
        f"configMapGenerator:\n  - name: x\n    literals: [DB_PASSWORD={PW}]\n",
    ),
    "a literal in a template": (APP + "a.yaml", STORED + f"  target:\n    template:\n      data: {{password: {PW}}}\n"),
    "a file in a template": (
        APP + "a.yaml",
        STORED + f"  target:\n    template:\n      data:\n        x.ini: |\n          db_password = {PW}\n",
    ),
    "a variable": (APP + "a.yaml", POD + f"      env:\n        - {{name: DB_PASSWORD, value: {PW}}}\n"),
    "a variable on two lines": (APP + "a.yaml", POD + f"      env:\n        - name: DB_PASS\n          value: {PW}\n"),
    "a number": (APP + "a.yaml", POD + "      env: [{name: ADMIN_PWD, value: 12345678}]\n"),
    "a session's secret": (APP + "a.yaml", POD + f"      env: [{{name: SESSION_SECRET, value: {made(20)}}}]\n"),
    "words for a cookie": (APP + "a.yaml", POD + "      env: [{name: COOKIE_SECRET, value: correct-horse}]\n"),
    "a key of encryption": (APP + "a.yaml", POD + f"      env: [{{name: ENCRYPTION_KEY, value: {made(32, HEX)}}}]\n"),
    "a key to a network": (APP + "a.yaml", POD + f"      env: [{{name: TS_AUTHKEY, value: {made(20)}}}]\n"),
    "an argument": (APP + "a.yaml", POD + f"      args: [--password={PW}]\n"),
    "an argument and its value": (APP + "a.yaml", POD + f"      args: [--password, {PW}]\n"),
    "an argument on lines": (APP + "a.yaml", POD + f"      args:\n        - --api-key\n        - {made(24)}\n"),
    "a command": (APP + "a.yaml", POD + f'      command: [sh, -c, "mysqldump -u root -p{PW} x >y"]\n'),
    "a command with redis": (APP + "a.yaml", POD + f'      command: [sh, -c, "redis-cli -a {PW} ping"]\n'),
    "a command with curl": (APP + "a.yaml", POD + f'      command: [sh, -c, "curl -u admin:{PW} https://x.org"]\n'),
    "a header of a route": (
        APP + "a.yaml",
        ROUTE
        + "        - requestHeaderModifier:\n            set:\n"
        + f"              - {{name: Authorization, value: Basic {coded('me:' + PW)}}}\n",
    ),
    "a key in a header": (
        APP + "a.yaml",
        ROUTE + f"        - requestHeaderModifier: {{set: [{{name: X-Api-Key, value: {made(24)}}}]}}\n",
    ),
    "a header in an annotation": (
        APP + "a.yaml",
        (
            "kind: Ingress\nmetadata:\n  annotations:\n    nginx.ingress.kubernetes.io/configuration-snippet: |\n"
            f'      proxy_set_header Authorization "Bearer {made(30)}";\n'
        ),
    ),
    "an annotation's name": (APP + "a.yaml", f"metadata:\n  annotations:\n    example.com/token: {made(20)}\n"),
    "an URL": (APP + "a.yaml", MAP + f"data: {{url: 'postgres://app:{PW}@db:5432/app'}}\n"),
    "an URL with an odd password": (APP + "a.yaml", MAP + "data: {url: 'redis://:p%40ss/w0rd!@redis:6379/0'}\n"),
    "a token in an URL": (APP + "a.yaml", MAP + f"data: {{url: 'https://{made(30)}@git.example.com/x.git'}}\n"),
    "an URL's query": (APP + "a.yaml", MAP + f"data: {{url: 'https://example.com/hook?a=b&token={made(20)}'}}\n"),
    "YAML in a ConfigMap": (
        APP + "a.yaml",
        MAP + f"data:\n  config.yaml: |\n    database:\n      user: x\n      password: {PW}\n",
    ),
    "JSON in a ConfigMap": (APP + "a.yaml", MAP + f"""data:\n  c.json: '{{"db": {{"password": "{PW}"}}}}'\n"""),
    "variables in a ConfigMap": (APP + "a.yaml", MAP + f"data:\n  .env: |\n    A=b\n    SMTP_PASSWORD={PW}\n"),
    "settings in a ConfigMap": (APP + "a.yaml", MAP + f"data:\n  app.ini: |\n    [db]\n    passwd = {PW}\n"),
    "XML in a ConfigMap": (
        APP + "a.yaml",
        MAP + f"data:\n  config.xml: <Config><ApiKey>{made(32, HEX)}</ApiKey></Config>\n",
    ),
    "a broker's settings": (
        APP + "a.yaml",
        MAP + f"data:\n  m.conf: |\n    bridge_username x\n    bridge_password {PW}\n",
    ),
    "base64 in a ConfigMap": (
        APP + "a.yaml",
        MAP + f"data: {{x: {coded('password: ' + PW + chr(10) + 'user: x1')}}}\n",
    ),
    "a folded value": (APP + "values.yaml", f"auth:\n  password: >-\n    {PW}\n"),
    "a value with blanks": (APP + "values.yaml", "auth:\n  adminPassword: correct horse battery staple\n"),
    "a chart's values": (APP + "values.yaml", f"postgresql:\n  auth: {{postgresPassword: {PW}}}\n"),
    "inline values of a chart": (
        APP + "kustomization.yaml",
        f"helmCharts:\n  - name: x\n    valuesInline: {{auth: {{clientSecret: {made(24)}}}}}\n",
    ),
    "a list of passwords": (APP + "values.yaml", f"passwords: [{PW}, {made(9)}]\n"),
    "a template that is no YAML": (
        APP + "templates/a.yaml",
        f"{{{{ if .Values.x }}}}\npassword: {PW}\n{{{{ end }}}}\n",
    ),
    "a helper of a chart": (APP + "templates/_x.tpl", f'{{{{ define "x" }}}}\npassword: "{PW}"\n{{{{ end }}}}\n'),
    "a chart in charts": (APP + "charts/x/values.yaml", f"password: {PW}\n"),
    "a hidden folder": ("apps/media/.hidden/x.yaml", f"password: {PW}\n"),
    "a patch for nodes": ("patches/gpu.yaml", f"machine:\n  token: {made(6)}.{made(16)}\n"),
    "variables of an extension": (
        "patches/vpn.yaml",
        f"apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: tailscale\nenvironment: [TS_AUTHKEY={made(24)}]\n",
    ),
    "a node's file": (
        "patches/files.yaml",
        f"machine:\n  files:\n    - path: /var/x\n      content: |\n        password={PW}\n",
    ),
    "a node's proxy": ("patches/proxy.yaml", f"machine: {{env: {{https_proxy: 'http://u:{PW}@proxy:3128'}}}}\n"),
    "a node's argument": (
        "patches/args.yaml",
        f"machine: {{install: {{extraKernelArgs: ['x.jointoken={made(30)}']}}}}\n",
    ),
    "a key of a cluster": ("patches/ca.yaml", f"cluster: {{ca: {{key: {coded(pem('ED25519 '))}}}}}\n"),
    "a stack file": (
        "Pulumi.dev.yaml",
        f"config:\n  homelab:proxmox: {{endpoint: 'https://root:{PW}@10.0.0.2:8006'}}\n",
    ),
    "a file of variables": (".env", f"A=1\nDB_PASSWORD={PW}\n"),
    "an exported variable": ("scripts/x.sh", f"export API_TOKEN={made(30)}\n"),
    "properties": (APP + "x.properties", f"spring.datasource.password={PW}\n"),
    "TOML": (APP + "x.toml", f'[db]\npassword = "{PW}"\n'),
    "INI": (APP + "x.ini", f"[mail]\nsmtp_pass = {PW}\n"),
    "a settings file": (APP + "x.conf", f"requirepass {PW}\n"),
    "a text": (APP + "x.txt", f"user: admin\npassword: {PW}\n"),
    "a netrc": (".netrc", f"machine github.com login me password {made(20)}\n"),
    "a pgpass": (APP + ".pgpass", f"db:5432:app:app:{PW}\n"),
    "a htpasswd": (APP + "auth", f"admin:$apr1${made(8)}${made(22)}\n"),
    "an npmrc": (".npmrc", f"//registry.npmjs.org/:_authToken={made(36)}\n"),
    "Docker's settings": (".docker/config.json", AUTHS),
    "Docker's settings in a ConfigMap": (APP + "a.yaml", MAP + f"data:\n  c: '{AUTHS}'\n"),
    "Docker's settings in base64": (APP + "a.yaml", f".dockerconfigjson: {coded(AUTHS)}\n"),
    "WireGuard": (APP + "wg0.conf", f"[Interface]\nPrivateKey = {made(42)}A=\n[Peer]\nPresharedKey = {made(42)}A=\n"),
    "a kubeconfig": ("kubeconfig", f"users: [{{name: x, user: {{client-key-data: {coded(pem('EC '))}}}}}]\n"),
    "a kubeconfig's token": (APP + "k.yaml", f"users:\n  - name: x\n    user:\n      token: {made(40)}\n"),
    "UTF-16": (APP + "x.txt", "UTF-16"),
    "a private key": (APP + "id_rsa", pem("OPENSSH ")),
    "a private key in a ConfigMap": (
        APP + "a.yaml",
        MAP + "data:\n  key: |\n" + "".join(f"    {line}\n" for line in pem("RSA ").splitlines()),
    ),
    "a key of PuTTY": (
        APP + "x.ppk",
        (
            f"PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nPublic-Lines: 1\n{made(64)}\n"
            f"Private-Lines: 1\n{made(64)}\n"
        ),
    ),
    **{
        f"the token {name}": (APP + "a.yaml", MAP + f"data:\n  x: {token}\n")
        for name, token in {
            "of GitHub": "gh" + "p_" + made(36),
            "of GitHub's apps": "gh" + "s_" + made(36),
            "of GitHub's users": "gh" + "o_" + made(36),
            "of GitHub, fine-grained": "github" + "_pat_" + made(22) + "_" + made(59),
            "of GitLab": "glp" + "at-" + made(20),
            "of AWS": "AK" + "IA" + made(16, string.ascii_uppercase + "234567"),
            "of npm": "np" + "m_" + made(36),
            "of Pulumi": "pu" + "l-" + made(40, HEX),
            "of OpenAI": "s" + "k-" + made(48),
            "of Google": "AI" + "za" + made(35),
            "of Stripe": "s" + "k_live_" + made(24),
            "of Tailscale": "tskey" + "-auth-" + made(12) + "-" + made(32),
            "of Slack": "xo" + "xb-" + made(12, string.digits) + "-" + made(24),
            "of Slack's hooks": "https://hooks.slack" + ".com/services/T" + made(8) + "/B" + made(8) + "/" + made(24),
            "of Discord's hooks": "https://discord" + ".com/api/webhooks/" + made(18, string.digits) + "/" + made(68),
            "of Telegram": made(9, "123456789") + ":" + "AA" + made(33),
            "of Proxmox": "PVEAPI" + f"Token=root@pam!x={UUID}",
            "of Bitwarden": f"0.{UUID}.{made(30)}:{made(22)}==",
            "of Vault": "hv" + "s." + made(24),
            "of age": "AGE-SECRET" + "-KEY-1" + made(58, string.ascii_uppercase + string.digits),
            "in JSON": JWT,
        }.items()
    },
}

HARMLESS: Mapping[str, tuple[str, str]] = {
    "names of keys": (APP + "values.yaml", "s3: {secretKey: token, accessKey: access-key}\n"),
    "a limit": (APP + "a.yaml", POD + '      env: [{name: MAX_TOKENS, value: "4096"}]\n      x: {max_token: "4096"}\n'),
    "a switch": (APP + "values.yaml", 'useToken: "yes"\nautomountServiceAccountToken: "false"\npasswordAuth: "on"\n'),
    "a comment": (APP + "a.yaml", MAP + "data: {} # the file begins with -----BEGIN PRIVATE KEY-----\n"),
    "a reference": (
        APP + "a.yaml",
        POD + "      env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: x, key: password}}}]\n",
    ),
    "an ExternalSecret": (
        APP + "a.yaml",
        STORED + "  target: {template: {data: {password: '{{ .password }}'}}}\n"
        "  data: [{secretKey: password, remoteRef: {key: x-password}}]\n",
    ),
    "an existing Secret": (
        APP + "values.yaml",
        (
            "auth: {existingSecret: app-auth, existingSecretPasswordKey: password, secretKeys: {adminPasswordKey: a}}\n"
            "ingress: {tls: [{secretName: app-tls}]}\n"
        ),
    ),
    "a variable": (APP + "a.yaml", POD + "      args: [--password=$(DB_PASSWORD), '--token', '$(TOKEN)']\n"),
    "a template": (APP + "templates/a.yaml", "password: {{ .Values.password | b64enc }}\ntoken: ${TOKEN}\n"),
    "a file": (APP + "a.yaml", POD + "      env: [{name: POSTGRES_PASSWORD_FILE, value: /run/secrets/password}]\n"),
    "an encrypted value": (
        APP + "a.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec: {encryptedData: {password: AgBy8hCi8pQ}}\n",
    ),
    "what sops wrote": (APP + "a.yaml", "password: ENC[AES256_GCM,data:abc,iv:def,tag:ghi,type:str]\n"),
    "addresses": (
        APP + "values.yaml",
        "tokenUrl: https://id.example.com/token\ntoken_endpoint: https://id.example.com/t\npasswordResetUrl: /reset\n",
    ),
    "a public key": (
        APP + "a.yaml",
        MAP + f"data:\n  ca.crt: |\n    -----BEGIN CERTIFICATE-----\n    {made(64)}\n    -----END CERTIFICATE-----\n"
        f"  key.pub: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{made(43)} me@example.com\n",
    ),
    "digests": (APP + "a.yaml", POD + f"      image: ghcr.io/x/y:1.0@sha256:{made(64, HEX)}\n      tokenTtl: 24h\n"),
    "nothing": (APP + "a.yaml", 'password: ""\ntoken: null\nclientSecret: ${CLIENT_SECRET}\nsecrets: []\n'),
    "encrypted settings": (
        "Pulumi.dev.yaml",
        f"encryptionsalt: v1:{made(11)}=:v1:{made(16)}:{made(40)}\nconfig: {{}}\n",
    ),
    "prose": (APP + "a.txt", "Enter your password: it is kept by the browser. The token expires after a day.\n"),
    "an URL with a port": (APP + "a.yaml", MAP + "data: {a: 'http://x:8080/a@b', b: 'registry:5000/y@sha256:00'}\n"),
}


def found(name: str, text: str) -> list[str]:
    raw = f"password: {PW}\n".encode("utf-16") if text == "UTF-16" else text.encode()
    return [str(problem) for problem in leaks(raw, name)]


def test_the_lists_are_long_enough() -> None:
    assert len(SECRETS) >= 76
    assert len(HARMLESS) >= 16


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found(name: str) -> None:
    assert found(*SECRETS[name])


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_speaks_of_secrets_is_not_refused(name: str) -> None:
    assert found(*HARMLESS[name]) == []


def test_this_repository_holds_none() -> None:
    assert [str(problem) for problem in repository_leaks(ROOT)] == []


def test_no_value_of_a_secret_is_printed() -> None:
    assert [name for name, (file, text) in SECRETS.items() if PW in "".join(found(file, text))] == []


def test_every_rule_of_gitleaks_is_understood() -> None:
    assert len([tokens._rule(index) for index in range(len(tokens._raw()))]) > 200


@pytest.mark.parametrize(
    "sign",
    ["password", " \n", "\n", "- ", "ey", "=", "a: ", "://a:", "--a ", "x@", '"', "\\", "<a>", "[", "a/", "'a' "],
)
def test_no_text_takes_long(sign: str) -> None:
    text = sign * (300_000 // len(sign))
    began = time.process_time()
    leaks(text.encode(), "apps/media/x/a.yaml")
    leaks(f"password{text}".encode(), "apps/media/x/a.txt")
    assert time.process_time() - began < 3


def test_a_file_is_searched_again_when_its_content_its_name_or_the_rules_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "notes.md").write_text("password: Zq81-mmpw-72xk\n")
    searched: list[str] = []

    def search(raw: bytes, name: str) -> tuple[Problem, ...]:
        searched.append(name)
        return leaks(raw, name)

    monkeypatch.setattr("config.leaks.leaks", search)
    assert [list(repository_leaks(root)) for _ in range(2)] == [[], []]
    assert searched == ["notes.md"]
    (root / "notes.md").rename(root / "notes.yaml")
    assert [[one.file for one in repository_leaks(root)] for _ in range(2)] == [["notes.yaml"], ["notes.yaml"]]
    assert searched == ["notes.md", "notes.yaml", "notes.yaml"]  # a finding is never cached
