"""Stand-in for the plugin of pulumi-tls: real keys, requests and certificates, made by `lab.plugins.keys`.

Every changed input replaces them, as with the official plugin, but for `earlyRenewalHours`; and the next run replaces a
certificate that is close to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.properties import UNKNOWN, Plain, top
from lab.plugins.schema import InputProblem
from lab.plugins.server import serve

ALGORITHMS = ("RSA", "ECDSA", "ED25519")
CURVES = ("P224", "P256", "P384", "P521")
NOT_NEGATIVE = ("validityPeriodHours", "earlyRenewalHours")


class PrivateKey(ResourceKind):
    """A private key."""

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse other algorithms and curves."""
        yield from one_of(inputs, "algorithm", ALGORITHMS)
        yield from one_of(inputs, "ecdsaCurve", CURVES)

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Generate the key."""
        from lab.plugins import keys  # noqa: PLC0415 - slow to import; the port has to be printed first

        return keys.generate_key(inputs)


class Certificate(ResourceKind):
    """The common part of all certificates: an end, and uses."""

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse negative times."""
        for name in NOT_NEGATIVE:
            value = inputs.get(name, 0)
            if value is not UNKNOWN and value < 0:
                reason = f"Attribute {name} value must be at least 0, got: {value}."
                yield InputProblem(name, f"Invalid Attribute Value. {reason}")

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the base's word
        """Store another time of renewal."""
        early = inputs.get("earlyRenewalHours", 0)
        return {"earlyRenewalHours": early, "readyForRenewal": _ready({**old_outputs, "earlyRenewalHours": early})}

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002 - the base's word
        """Read the certificate, and whether its renewal is due."""
        return {**outputs, "readyForRenewal": _ready(outputs)}

    def outlived(self, outputs: Plain) -> Iterable[str]:
        """Return the outputs to renew when the renewal is due."""
        return ["readyForRenewal"] if _ready(outputs) else []

    def replaces(self, path: str) -> bool:
        """Report a replacement for every change but that of the renewal."""
        return top(path) != "earlyRenewalHours"


class SelfSignedCert(Certificate):
    """A certificate that is signed by its own key."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Make the certificate."""
        from lab.plugins import keys  # noqa: PLC0415 - as above

        return keys.self_signed(inputs)


class LocallySignedCert(Certificate):
    """A certificate that an authority signs."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Make the certificate."""
        from lab.plugins import keys  # noqa: PLC0415 - as above

        return keys.locally_signed(inputs)


class CertRequest(ResourceKind):
    """A request for a certificate."""

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Make the request."""
        from lab.plugins import keys  # noqa: PLC0415 - as above

        return keys.request(inputs)


def one_of(inputs: Plain, name: str, allowed: tuple[str, ...]) -> Iterator[InputProblem]:
    """Return an error for a value that is not among the choices."""
    value = inputs.get(name, allowed[0])
    if value is not UNKNOWN and value not in allowed:
        choices = " ".join(json.dumps(choice) for choice in allowed)
        reason = f'Attribute {name} value must be one of: [{choices}], got: "{value}".'
        yield InputProblem(name, f"Invalid Attribute Value Match. {reason}")


def _ready(outputs: Plain) -> bool:
    ends = datetime.fromisoformat(outputs["validityEndTime"])
    return datetime.now(UTC) >= ends - timedelta(hours=outputs.get("earlyRenewalHours", 0))


class Tls(StandIn):
    """The plugin of pulumi-tls."""

    package, distribution = "tls", "pulumi_tls"
    kinds: ClassVar = {
        "tls:index/privateKey:PrivateKey": PrivateKey,
        "tls:index/selfSignedCert:SelfSignedCert": SelfSignedCert,
        "tls:index/certRequest:CertRequest": CertRequest,
        "tls:index/locallySignedCert:LocallySignedCert": LocallySignedCert,
    }


if __name__ == "__main__":
    serve(Tls())
