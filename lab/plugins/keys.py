"""Keys and certificates in the forms of pulumi-tls: each PEM, fingerprint and extension of the official one.

Inputs of a resource come in as plain values, its outputs go out. The module is separate from `lab.plugins.tls` because
the cryptography library is slow to import, and a plugin must print its port before it gets a request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from errors import HomelabError
from lab.plugins.properties import Plain

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
PEM, TRADITIONAL = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
PKCS8, OPENSSH = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
OPEN = serialization.NoEncryption()
CURVES: Mapping[str, type[ec.SECP224R1 | ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}
SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "country": NameOID.COUNTRY_NAME,
    "postalCode": NameOID.POSTAL_CODE,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
KEY_USES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
EXTENDED_USES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec_end_system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft_server_gated_crypto": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": ObjectIdentifier("2.16.840.1.113730.4.1"),
}


def generate_key(inputs: Plain) -> tuple[str, Plain]:
    """Generate a key; its id is the fingerprint of its public half."""
    bits, curve = inputs.get("rsaBits", 2048), inputs.get("ecdsaCurve", "P224")
    key: Key
    if inputs["algorithm"] == "RSA":
        key = rsa.generate_private_key(65537, bits)
    elif inputs["algorithm"] == "ECDSA":
        key = ec.generate_private_key(CURVES[curve]())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(PEM, PUBLIC)
    own_form = PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else TRADITIONAL
    outputs = {
        "rsaBits": bits,
        "ecdsaCurve": curve,
        "privateKeyPem": key.private_bytes(PEM, own_form, OPEN).decode(),
        "privateKeyPemPkcs8": key.private_bytes(PEM, PKCS8, OPEN).decode(),
        "publicKeyPem": public.decode(),
    }
    return hashlib.sha1(public, usedforsecurity=False).hexdigest(), {**outputs, **_for_ssh(key)}


def _for_ssh(key: Key) -> Plain:
    """Return a key in the forms of OpenSSH, which does not support P224."""
    names = ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == ec.SECP224R1.name:
        return dict.fromkeys(names, "")
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    wire = base64.b64decode(public.split()[1])
    md5 = hashlib.md5(wire, usedforsecurity=False).hexdigest()
    sha256 = base64.b64encode(hashlib.sha256(wire).digest()).decode().rstrip("=")
    pairs = ":".join(md5[place : place + 2] for place in range(0, len(md5), 2))
    private = key.private_bytes(PEM, OPENSSH, OPEN).decode()
    return dict(zip(names, (private, f"{public.decode()}\n", pairs, f"SHA256:{sha256}"), strict=True))


def self_signed(inputs: Plain) -> tuple[str, Plain]:
    """Make a certificate that is signed by its own key."""
    key = read_key(inputs, "privateKeyPem")
    name = _name(inputs.get("subject", {}))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    alternatives = list(_alternatives(inputs))
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if inputs.get("setAuthorityKeyId"):
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    id_, outputs = _signed(builder, key.public_key(), key, inputs)
    named = bool(inputs.get("setAuthorityKeyId"))
    # The state does not store write-only inputs.
    return id_, {**outputs, "setAuthorityKeyId": named, "keyAlgorithm": algorithm(key), "privateKeyPemWo": None}


def request(inputs: Plain) -> tuple[str, Plain]:
    """Make a certificate request."""
    key = read_key(inputs, "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(inputs.get("subject", {})))
    alternatives = list(_alternatives(inputs))
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    pem = builder.sign(key, _digest(key)).public_bytes(PEM)
    outputs = {"keyAlgorithm": algorithm(key), "certRequestPem": pem.decode(), "privateKeyPemWo": None}
    return hashlib.sha1(pem, usedforsecurity=False).hexdigest(), outputs


def locally_signed(inputs: Plain) -> tuple[str, Plain]:
    """Sign a request, as the authority whose certificate and key are given."""
    key = read_key(inputs, "caPrivateKeyPem")
    try:
        authority = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
        wanted = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
    except ValueError as error:
        raise HomelabError(f"Failed to parse the authority's certificate or the request: {error}") from None
    public: Any = wanted.public_key()
    builder = x509.CertificateBuilder().subject_name(wanted.subject).issuer_name(authority.subject).public_key(public)
    for extension in wanted.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, extension.critical)
    for extension in authority.extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            known = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
            builder = builder.add_extension(known, critical=False)
    id_, outputs = _signed(builder, public, key, inputs)
    return id_, {**outputs, "caKeyAlgorithm": algorithm(key), "caPrivateKeyPemWo": None}


def _signed(builder: x509.CertificateBuilder, public: PublicKey, key: Key, inputs: Plain) -> tuple[str, Plain]:
    """Add the fields of every certificate, and sign it."""
    begins = datetime.now(UTC).replace(microsecond=0)
    ends = begins + timedelta(hours=inputs["validityPeriodHours"])
    authority, depth = bool(inputs.get("isCaCertificate")), inputs.get("maxPathLength", -1)
    serial = x509.random_serial_number()
    builder = builder.serial_number(serial).not_valid_before(begins).not_valid_after(ends)
    constraints = x509.BasicConstraints(ca=authority, path_length=depth if authority and depth >= 0 else None)
    builder = builder.add_extension(constraints, critical=True)
    uses = set(inputs["allowedUses"])
    if uses & KEY_USES.keys():
        flags = {flag: use in uses for use, flag in KEY_USES.items()}
        flags["key_agreement"] |= flags["encipher_only"] or flags["decipher_only"]
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    if extended := [EXTENDED_USES[use] for use in inputs["allowedUses"] if use in EXTENDED_USES]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if inputs.get("setSubjectKeyId") or authority:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    early = inputs.get("earlyRenewalHours", 0)
    outputs = {
        "certPem": builder.sign(key, _digest(key)).public_bytes(PEM).decode(),
        "earlyRenewalHours": early,
        "isCaCertificate": authority,
        "maxPathLength": depth,
        "setSubjectKeyId": bool(inputs.get("setSubjectKeyId")),
        "validityStartTime": begins.isoformat().replace("+00:00", "Z"),
        "validityEndTime": ends.isoformat().replace("+00:00", "Z"),
        "readyForRenewal": early >= inputs["validityPeriodHours"],
    }
    return str(serial), outputs


def read_key(inputs: Plain, name: str) -> Key:
    """Read a private key from an input, or from its write-only twin."""
    text = inputs.get(name) or inputs.get(f"{name}Wo")
    if not text:
        raise HomelabError(f"Missing key: one of {name}, {name}Wo must be given.")
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise HomelabError(f"Failed to parse private key PEM: {name} is no private key in PEM form.") from None
    if not isinstance(key, Key):
        raise HomelabError(f"Failed to parse private key PEM: {name} is neither RSA, ECDSA nor ED25519.")
    return key


def algorithm(key: Key) -> str:
    """Return the name of a key's algorithm as pulumi-tls writes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def _digest(key: Key) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the digest for a key: ED25519 has its own, a longer curve a longer digest."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:  # noqa: PLR2004 - bits, as in its name
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()  # noqa: PLR2004 - likewise
    return hashes.SHA256()


def _name(subject: Mapping[str, Any]) -> x509.Name:
    attributes = []
    for field, oid in SUBJECT.items():
        given = subject.get(field, [])
        for text in given if isinstance(given, list) else [given]:
            try:
                attributes.append(x509.NameAttribute(oid, text))
            except ValueError as error:
                raise HomelabError(f"Invalid subject: {field} = {text}: {error}") from None
    return x509.Name(attributes)


def _alternatives(inputs: Plain) -> Iterator[x509.GeneralName]:
    for name in inputs.get("dnsNames", []):
        yield x509.DNSName(name)
    for address in inputs.get("ipAddresses", []):
        try:
            yield x509.IPAddress(ip_address(address))
        except ValueError:
            raise HomelabError(f"Invalid IP address: {address}") from None
    for uri in inputs.get("uris", []):
        yield x509.UniformResourceIdentifier(uri)
