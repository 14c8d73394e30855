"""Keys, certificates and random values, verified by other programs than those that made them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from errors import HomelabError
from lab.plugins import keys, random, tls
from lab.plugins.properties import UNKNOWN

CA = {"isCaCertificate": True, "allowedUses": ["cert_signing", "crl_signing"], "validityPeriodHours": 48}
LEAF = {"allowedUses": ["digital_signature", "server_auth"], "validityPeriodHours": 24, "earlyRenewalHours": 6}


def key(algorithm: str = "ECDSA", curve: str = "P256") -> dict[str, Any]:
    return keys.generate_key({"algorithm": algorithm, "ecdsaCurve": curve})[1]


@pytest.mark.parametrize(
    ("algorithm", "curve", "header", "ssh"),
    [
        ("RSA", "P224", "RSA PRIVATE KEY", "ssh-rsa"),
        ("ECDSA", "P224", "EC PRIVATE KEY", ""),
        ("ECDSA", "P384", "EC PRIVATE KEY", "ecdsa-sha2-nistp384"),
        ("ED25519", "P224", "PRIVATE KEY", "ssh-ed25519"),
    ],
)
def test_a_key_has_the_forms_of_the_official_plugin(algorithm: str, curve: str, header: str, ssh: str) -> None:
    id_, made = keys.generate_key({"algorithm": algorithm, "ecdsaCurve": curve})
    assert len(id_) == 40
    assert made["privateKeyPem"].startswith(f"-----BEGIN {header}-----\n")
    assert made["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert made["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert made["publicKeyOpenssh"].partition(" ")[0] == ssh
    if ssh:
        again = serialization.load_ssh_private_key(made["privateKeyOpenssh"].encode(), None)
        public = again.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert public.decode() == made["publicKeyPem"]
        assert made["publicKeyOpenssh"].endswith("\n")
        assert made["publicKeyFingerprintSha256"].startswith("SHA256:")
        assert len(made["publicKeyFingerprintMd5"].split(":")) == 16
    else:
        assert made["publicKeyFingerprintMd5"] == ""


def test_a_certificate_from_our_own_authority_is_believed() -> None:
    authority, server = key(), key("RSA")
    _, ca = keys.self_signed({**CA, "privateKeyPem": authority["privateKeyPem"], "subject": {"commonName": "root"}})
    names = {"dnsNames": ["argocd.example.org"], "ipAddresses": ["192.0.2.7"], "uris": ["spiffe://a/b"]}
    subject = {"commonName": "argocd", "country": "XY", "streetAddresses": ["a", "b"]}
    _, asked = keys.request({"privateKeyPem": server["privateKeyPem"], "subject": subject, **names})
    signer = {"caPrivateKeyPem": authority["privateKeyPem"], "caCertPem": ca["certPem"]}
    id_, leaf = keys.locally_signed({**LEAF, **signer, "certRequestPem": asked["certRequestPem"]})
    certificate = x509.load_pem_x509_certificate(leaf["certPem"].encode())
    assert str(certificate.serial_number) == id_
    assert (asked["keyAlgorithm"], leaf["caKeyAlgorithm"], ca["keyAlgorithm"]) == ("RSA", "ECDSA", "ECDSA")
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.IPAddress) == [ip_address("192.0.2.7")]
    store = Store([x509.load_pem_x509_certificate(ca["certPem"].encode())])
    verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("argocd.example.org"))
    assert verifier.verify(certificate, [])


def test_a_certificate_has_its_start_and_end() -> None:
    _, made = keys.self_signed({**LEAF, "privateKeyPem": key("ED25519")["privateKeyPem"]})
    begins, ends = (datetime.fromisoformat(made[name]) for name in ("validityStartTime", "validityEndTime"))
    assert ends - begins == timedelta(hours=24)
    assert abs(datetime.now(UTC) - begins) < timedelta(minutes=1)
    assert made["readyForRenewal"] is False
    assert made["privateKeyPemWo"] is None


def test_a_key_that_is_only_written_signs_too() -> None:
    assert keys.self_signed({**LEAF, "privateKeyPemWo": key()["privateKeyPem"]})[1]["keyAlgorithm"] == "ECDSA"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "Missing key: one of privateKeyPem, privateKeyPemWo must be given."),
        ({"privateKeyPem": "nonsense"}, "Failed to parse private key PEM: privateKeyPem is no private key"),
        ({"privateKeyPem": key()["privateKeyPem"], "ipAddresses": ["1.2.3"]}, "Invalid IP address: 1.2.3"),
        ({"privateKeyPem": key()["privateKeyPem"], "subject": {"country": "XYZ"}}, "Invalid subject: country = XYZ"),
    ],
)
def test_an_invalid_request_is_not_signed(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(HomelabError, match=words):
        keys.self_signed({**LEAF, **inputs})


def test_other_algorithms_and_curves_are_refused() -> None:
    kind = tls.PrivateKey(tls.Tls())
    assert [problem.reason for problem in kind.refusals({"algorithm": "DSA", "ecdsaCurve": "P1"})] == [
        (
            'Invalid Attribute Value Match. Attribute algorithm value must be one of: ["RSA" "ECDSA" "ED25519"], '
            'got: "DSA".'
        ),
        (
            'Invalid Attribute Value Match. Attribute ecdsaCurve value must be one of: ["P224" "P256" "P384" "P521"], '
            'got: "P1".'
        ),
    ]
    assert list(kind.refusals({"algorithm": UNKNOWN})) == []


@pytest.mark.parametrize(("hours", "anew"), [(7, []), (5, ["readyForRenewal"]), (-1, ["readyForRenewal"])])
def test_a_certificate_near_its_end_is_replaced(hours: int, anew: list[str]) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    kind = tls.SelfSignedCert(tls.Tls())
    assert kind.outlived({"validityEndTime": ends, "earlyRenewalHours": 6}) == anew
    read = kind.read("1", {"validityEndTime": ends, "earlyRenewalHours": 6})
    assert read
    assert read["readyForRenewal"] is bool(anew)


def test_only_the_time_of_renewal_changes_in_place() -> None:
    kind = tls.LocallySignedCert(tls.Tls())
    assert [kind.replaces(path) for path in ("earlyRenewalHours", "dnsNames[0]")] == [False, True]


SMALL = st.integers(0, 6)


@given(SMALL, SMALL, SMALL, SMALL, st.integers(1, 20), st.booleans(), st.sampled_from(["", "-_", "§"]))
def test_a_text_has_its_length_and_required_characters(
    lower: int, upper: int, numeric: int, special: int, more: int, allowed: bool, signs: str
) -> None:
    inputs: dict[str, Any] = {"length": lower + upper + numeric + special + more, "special": allowed}
    inputs |= {"minLower": lower, "minUpper": upper, "minNumeric": numeric, "minSpecial": special if allowed else 0}
    inputs |= {"overrideSpecial": signs} if signs else {}
    text = random.drawn(inputs)
    known = signs or random.SPECIAL
    assert len(text) == inputs["length"]
    assert sum(letter.islower() for letter in text) >= lower
    assert sum(letter.isupper() for letter in text) >= upper
    assert sum(letter.isdigit() for letter in text) >= numeric
    assert sum(letter in known for letter in text) >= inputs["minSpecial"]
    assert all(letter.isalnum() or (allowed and letter in known) for letter in text)


def test_a_password_is_not_its_own_id_and_is_hashed() -> None:
    id_, made = random.Password(random.Random()).create({"length": 24}, preview=False)
    assert id_ == "none"
    assert made["bcryptHash"] is None or made["bcryptHash"].startswith("$2a$10$")
    assert (made["minLower"], made["special"], made["number"]) == (0, True, True)


def test_an_id_is_spelled_in_many_ways() -> None:
    id_, made = random.Id(random.Random()).create({"byteLength": 5, "prefix": "x-"}, preview=False)
    raw = bytes.fromhex(made["hex"].removeprefix("x-"))
    assert len(raw) == 5
    assert made["dec"] == f"x-{int.from_bytes(raw, 'big')}"
    assert made["b64Std"] == f"x-{base64.b64encode(raw).decode()}"
    assert made["b64Url"] == f"x-{id_}"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"length": 0}, "Attribute length value must be at least 1, got: 0."),
        ({"length": 3, "minLower": -1}, "Attribute minLower value must be at least 0, got: -1."),
        (
            {"length": 3, "minLower": 2, "minUpper": 2},
            "Attribute length value must be at least sum of minLower + minUpper + minNumeric + minSpecial, got: 3.",
        ),
        (
            {"length": 3, "lower": False, "upper": False, "numeric": False, "special": False},
            "At least one class of characters must be allowed.",
        ),
        ({"length": UNKNOWN, "minLower": UNKNOWN}, ""),
    ],
)
def test_a_text_that_cannot_be_is_refused(inputs: dict[str, Any], words: str) -> None:
    reasons = [problem.reason for problem in random.RandomText(random.Random()).refusals(inputs)]
    assert [reason.partition(". ")[2] for reason in reasons] == ([words] if words else [])
