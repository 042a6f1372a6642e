"""Which addresses tools may reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import AddressRefusedError, SettingsError, ToolError
from openmanus_graph.tools.web.address import is_listed, permitted_addresses, refusal


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "fc00::1",
        "fd12::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "100::1",
    ],
)
def test_refused(address: str) -> None:
    assert refusal(ip_address(address))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public(address: str) -> None:
    assert refusal(ip_address(address)) is None


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "::1"])
async def test_every_spelling_of_loopback(host: str) -> None:
    with pytest.raises(AddressRefusedError, match="OPENMANUS_GRAPH_ALLOW_HOSTS"):
        await permitted_addresses(host, 80, ())


async def test_one_bad_address_among_good_ones_is_enough() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(AddressRefusedError, match=r"'mixed\.test' has the private address 10\.0\.0\.1"):
        await permitted_addresses("mixed.test", 80, (), resolver)


@pytest.mark.parametrize(
    ("allowed", "host", "port", "passes"),
    [
        ("localhost", "localhost", 80, True),
        ("LOCALHOST:8080", "localhost", 8080, True),
        ("localhost:8080", "localhost", 80, False),
        ("host", "localhost", 80, False),
        ("127.0.0.1", "localhost", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("::1", "::1", 80, True),
    ],
)
async def test_allowed_by_exact_name(allowed: str, host: str, port: int, passes: bool) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    if passes:
        assert await permitted_addresses(host, port, (allowed,), resolver) == ["127.0.0.1"]
    else:
        with pytest.raises(AddressRefusedError):
            await permitted_addresses(host, port, (allowed,), resolver)


async def test_unknown_host_is_a_plain_failure() -> None:
    with pytest.raises(ToolError, match="cannot be found"):
        await permitted_addresses("nowhere.invalid", 80, ())


@pytest.mark.parametrize(
    ("listed", "host", "port", "passes"),
    [
        ("packages.test", "Packages.Test.", 443, True),
        ("packages.test", "files.packages.test", 443, False),
        ("packages.test", "notpackages.test", 443, False),
        ("packages.test:443", "packages.test", 443, True),
        ("packages.test:443", "packages.test", 80, False),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "b.a.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("*.example.com", "badexample.com", 80, False),
        ("*.example.com", "example.com.evil.test", 80, False),
        ("*.example.com:8443", "a.example.com", 8443, True),
        ("*.example.com:8443", "a.example.com", 443, False),
        ("::1", "::1", 80, True),
        ("[::1]:80", "::1", 80, True),
        ("[::1]:80", "::1", 81, False),
        ("127.0.0.1", "2130706433", 80, False),
    ],
)
def test_listed_by_name_port_or_a_name_above(listed: str, host: str, port: int, passes: bool) -> None:
    assert is_listed(host, port, Settings(sandbox_hosts=(listed,)).sandbox_hosts) == passes


def test_hosts_are_kept_as_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "OPENMANUS_GRAPH_SANDBOX_HOSTS", '["Packages.Test.", "*.Example.COM:8443", "[0:0::1]:80", "::1"]'
    )
    assert Settings.load().sandbox_hosts == ("packages.test", "*.example.com:8443", "[::1]:80", "::1")


@pytest.mark.parametrize(
    "host", ["*", "*.", "http://x.test", "x.test/a", "a b", "1.2.3", "*.1.2.3.4", "b\u00fccher.test", ""]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"cannot be {host!r}: a host is a name or an address")):
        Settings.load(sandbox_hosts=[host])
    with pytest.raises(SettingsError, match="a port is a number"):
        Settings.load(sandbox_hosts=["x.test:0"])
