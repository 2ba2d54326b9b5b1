"""What each kind of the hub's certificates says (X.509 profile of RFC 5280)."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud_hub.pki.errors import InvalidHostError

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

# A device whose clock is a little behind must not find its brand-new certificate "not yet valid".
BACKDATED = timedelta(minutes=10)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def common_name(value: str) -> x509.Name:
    """Return a name that consists of a common name only."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, value)])


def blank(subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime) -> x509.CertificateBuilder:
    """Return a certificate with a random serial (RFC 5280, 4.1.2.2), valid from a little before ``now``.

    The caller adds the end of validity, and the extensions of its kind.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Add what makes a certificate an authority's: it signs end entities and nothing below them."""
    usage = _key_usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        usage, critical=True
    )


def as_server(
    builder: x509.CertificateBuilder, ca: x509.Certificate, names: Sequence[x509.GeneralName]
) -> x509.CertificateBuilder:
    """Add what makes a certificate a TLS server's and no client's."""
    return _as_end_entity(builder, ca, ExtendedKeyUsageOID.SERVER_AUTH).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )


def as_member(
    builder: x509.CertificateBuilder, ca: x509.Certificate, names: Sequence[x509.GeneralName]
) -> x509.CertificateBuilder:
    """Add what makes a certificate that of a hub among hubs: a TLS server's and a client's."""
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _as_end_entity(builder, ca, *both).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )


def as_device(builder: x509.CertificateBuilder, ca: x509.Certificate) -> x509.CertificateBuilder:
    """Add what makes a certificate a TLS client's and no server's."""
    return _as_end_entity(builder, ca, ExtendedKeyUsageOID.CLIENT_AUTH)


def alternative_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Return the subject alternative names for DNS names and IP addresses, without repeats.

    Raises `InvalidHostError` for an empty list, a wildcard, or what is neither.
    """
    if not hosts:
        raise InvalidHostError(
            "no name given", where="hosts", fix="Give at least the name by which devices reach the hub."
        )
    return [_alternative_name(host) for host in dict.fromkeys(hosts)]


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise InvalidHostError(
            "neither a DNS name nor an IP address",
            where="hosts",
            fix="Write names without scheme, port or wildcard, such as hub.example.org.",
        )
    return x509.DNSName(host.lower())


def _as_end_entity(
    builder: x509.CertificateBuilder, ca: x509.Certificate, *purposes: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    issuer = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=False, crl_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )


def _key_usage(*, digital_signature: bool, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
