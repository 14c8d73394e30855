"""Certificates for servers and clients, signed by the authority of a machine configuration or by one of our own.

An `Authority` comes in, as PEM or base64-encoded as in Talos, with a subject and names; one PEM with key and
certificate together goes out, so that a file never holds half of a pair. Elliptic curves: a hundred of them cost less
than one RSA key. `lab.control_plane.kubernetes` continues from here, and every TLS server of the lab.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from errors import Bug
from local.files import write_private

CLIENT_AND_SERVER = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
LIFETIME = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=30)
# Clocks of machines that share a rehearsal's files may differ a little.
BACKDATED = timedelta(minutes=5)


@dataclass(frozen=True)
class Subject:
    """The subject of a certificate: Kubernetes takes the common name as user and the organizations as groups."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def distinguished(self) -> x509.Name:
        """Return the name in the form of certificates."""
        groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in self.groups]
        return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, self.name)])


@dataclass(frozen=True)
class Authority:
    """A certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Authority:
        """Read an authority from PEM."""
        loaded = serialization.load_pem_private_key(key, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise Bug(f"an authority with a key of type {type(loaded).__name__} cannot sign here")
        return cls(x509.load_pem_x509_certificate(certificate), loaded)

    @classmethod
    def from_talos(cls, pair: Mapping[str, str]) -> Authority:
        """Read an authority from a machine configuration: `crt` and `key`, PEM in base64."""
        return cls.from_pem(base64.b64decode(pair["crt"]), base64.b64decode(pair["key"]))

    @classmethod
    def self_signed(cls, name: str) -> Authority:
        """Make an authority of our own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = Subject(name).distinguished
        signing = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            _begun(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(signing, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """The certificate, for clients that trust the authority."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key that signs."""
        return _key_pem(self.key)

    def sign(self, subject: Subject, names: Iterable[str] = ()) -> bytes:
        """Return a new key and a certificate for a server with these names and addresses, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _begun(subject.distinguished, self.certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(CLIENT_AND_SERVER), critical=False)
            .add_extension(self._identifier, critical=False)
        )
        if alternatives := _alternatives(names):
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)

    def keep_signed(self, file: Path, subject: Subject, names: Iterable[str] = ()) -> Path:
        """Write a key and a certificate to a file, unless those in it are still valid for the same names."""
        names = list(names)
        if not self._is_good(file, subject, names):
            write_private(file, self.sign(subject, names))
        return file

    @property
    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        """Return the identifier of the signing key: that of its own certificate, or OpenSSL refuses the certificate."""
        try:
            written = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(written)

    def _is_good(self, file: Path, subject: Subject, names: list[str]) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            certificate.verify_directly_issued_by(self.certificate)
            written = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, InvalidSignature):
            return False
        except x509.ExtensionNotFound:
            written = None
        return (
            certificate.subject == subject.distinguished
            and list(written or []) == _alternatives(names)
            and certificate.not_valid_after_utc - RENEWED_BEFORE > datetime.now(UTC)
        )


def split(pem: bytes) -> tuple[bytes, bytes]:
    """Split a PEM into certificate and key."""
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.PEM)
    key = serialization.load_pem_private_key(pem, password=None)
    return certificate, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    """Convert names to the form of certificates, each once, addresses as addresses."""
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
