"""Looks at the way to the hub: names, proxies, TLS, and the hub's time beside ours."""

import http.client
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from agent.checks.finding import Finding, failed, ok, warning
from agent.checks.identity import ENROL_AGAIN, hub_address
from agent.identity.store import Identity
from agent.network.line import Network, open_network
from agent.network.proxies import Proxy

TIMEOUT_S = 5.0
ALERT_WAIT_S = 0.5  # TLS 1.3: a server says what it thinks of a client's certificate after the handshake
CLOCK_WARNING = timedelta(minutes=1)
CLOCK_FAILED = timedelta(minutes=10)
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which `ssl` has no name for
REACH = "Is the hub running? Is the port open in every firewall between here and there?"
SET_CLOCK = "Set the clock, and let it follow a time server (NTP)."


def name(found: Identity, way: Network) -> Finding:
    """Are the hub's names known, or the proxy's, which then has to know them?"""
    hosts = dict.fromkeys(map(way.first_host, (hub_address(found)[0], found.facts.mqtt_host)))
    for host in hosts:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            reason = error.strerror or "unknown"
            return failed("name", f"{host}: {reason}", "Correct the device's DNS, or enter it in /etc/hosts.")
    return ok("name", f"{' and '.join(hosts)}: found")


def proxy(settings: Proxy) -> Finding:
    """Which proxy is used, and can it be; are others set where nobody looks? Raises `SettingsError`."""
    if settings.https or settings.http:
        open_network(settings)
        return ok("proxy", f"{settings.https or settings.http}, and none for {len(settings.no_proxy)} hosts")
    names = [variable for variable in PROXIES if os.environ.get(variable)]
    if not names:
        return ok("proxy", "none is set")
    words = f"{', '.join(names)} is set, and the agent does not look at it"
    return warning("proxy", words, "Set proxy.https in the settings, if the hub is not reached directly.")


def clock(found: Identity, way: Network, now: datetime, not_before: datetime | None) -> Finding:
    """Compare our clock with the hub's; without a hub with ``not_before``, a time known to be past.

    The hub must show a certificate of its CA as ever, but when it holds is not asked: by a wrong
    clock none does.
    """
    context = found.tls_context()
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    try:
        _, date = _ask(found, way, context)
        there = parsedate_to_datetime(date).astimezone(UTC)
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return _clock_alone(now, not_before)
    return judge_clock(now, there)


def judge_clock(now: datetime, there: datetime) -> Finding:
    """Compare our time with the hub's; it tells whole seconds."""
    apart = abs(now - there)
    side = "behind" if now < there else "ahead of"
    words = f"{apart.total_seconds():.0f} s {side} the hub's"
    if apart >= CLOCK_FAILED:
        return failed("clock", words, SET_CLOCK)
    return warning("clock", words, SET_CLOCK) if apart >= CLOCK_WARNING else ok("clock", words)


def _clock_alone(now: datetime, not_before: datetime | None) -> Finding:
    if not_before is not None and now < not_before:
        words = f"it is {now:%Y-%m-%d %H:%M} UTC here, and it was {not_before:%Y-%m-%d %H:%M} before"
        return failed("clock", words, SET_CLOCK)
    return warning("clock", "the hub was not there to compare with", "See what is said of hub.")


def hub(found: Identity, way: Network) -> Finding:
    """Does the hub answer, show its certificate, and know ours?"""
    host, port = hub_address(found)
    try:
        status, _ = _ask(found, way, found.tls_context())
    except ssl.SSLError as error:
        return _tls("hub", f"{host}:{port}", error)
    except (OSError, http.client.HTTPException) as error:
        return failed("hub", f"{host}:{port} does not answer ({_reason(error)})", REACH)
    if status == HTTPStatus.UNAUTHORIZED:
        return failed("hub", f"{host}:{port} does not know this device's certificate", ENROL_AGAIN)
    if status != HTTPStatus.OK:
        return failed("hub", f"{host}:{port} answered {status}", "Look into the hub's log.")
    return ok("hub", f"{host}:{port} answers and knows this device")


def broker(found: Identity, way: Network) -> Finding:
    """Does the broker's port take our certificate? No session is begun: the daemon has it."""
    host, port = found.facts.mqtt_host, found.facts.mqtt_port
    try:
        with (
            way.tcp(host, port, TIMEOUT_S) as plain,
            found.tls_context().wrap_socket(plain, server_hostname=host) as line,
        ):
            line.settimeout(ALERT_WAIT_S)
            try:
                silent = line.recv(1) != b""
            except TimeoutError:
                silent = True
    except ssl.SSLError as error:
        return _tls("broker", f"{host}:{port}", error)
    except OSError as error:
        return failed("broker", f"{host}:{port} does not answer ({_reason(error)})", REACH)
    if not silent:
        return failed("broker", f"{host}:{port} closed the connection", "Look into the hub's log.")
    return ok("broker", f"{host}:{port} takes this device's certificate")


def _tls(look: str, where: str, error: ssl.SSLError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"{where} does not show a certificate of this device's hub ({error.verify_message})"
        if error.verify_code in {9, 10}:  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
            return failed(look, words, "See what is said of clock; else renew the hub's certificate.")
        return failed(look, words, "Is another machine there? Was the hub made anew? Then enrol again.")
    reason = (error.reason or "no reason said").replace("_", " ").lower()
    return failed(look, f"{where} did not agree on TLS ({reason})", "See what is said of certificate.")


def _ask(found: Identity, way: Network, context: ssl.SSLContext) -> tuple[int, str]:
    """Return the status and the time of the hub's answer to a device."""
    host, port = hub_address(found)
    connection = way.exchange(urlsplit(f"https://{host}:{port}"), context, TIMEOUT_S).connection
    try:
        connection.request("GET", "/v2/")
        response = connection.getresponse()
        return response.status, response.headers.get("Date", "")
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
