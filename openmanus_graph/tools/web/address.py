"""Address: which network addresses a tool may reach, decided on the very address that is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from openmanus_graph.errors import AddressRefusedError, ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host name and port."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "168.63.129.16/32",  # answers a virtual machine of Azure about itself, from a public address
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation (RFC 9637)
    )
]
"""Ranges refused besides what `ipaddress` itself calls not global, whose tables differ between versions."""


def refusal(address: Address) -> str | None:
    """Why tools may not reach `address`, in a word or two; `None` if they may.

    IPv4 addresses inside IPv6 ones (mapped, NAT64) are judged as what they stand for.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return refusal(address.ipv4_mapped)
        if address in _NAT64:
            return refusal(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    kinds = (
        ("unspecified", address.is_unspecified),
        ("loopback", address.is_loopback),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("private", address.is_private),
        ("reserved", address.is_reserved or not address.is_global),
        ("reserved", any(address in network for network in _REFUSED if network.version == address.version)),
        ("reserved", address.version == 6 and address not in _GLOBAL_UNICAST),
    )
    return next((kind for kind, holds in kinds if holds), None)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that the system knows for `host`, best first.

    Raises:
        ToolError: If there are none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"The host {host!r} cannot be found: {error}.") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def permitted_addresses(
    host: str, port: int, allow_hosts: Sequence[str], resolver: Resolver = resolve
) -> list[str]:
    """The addresses of `host`, all of them checked; connect to one of these and resolve no more.

    Args:
        host: A host name or address, without brackets.
        port: The port.
        allow_hosts: Hosts, or hosts with port, whose addresses are not checked.
        resolver: How names are resolved.

    Raises:
        AddressRefusedError: If any address is not a public one and the host is not allowed.
        ToolError: If the name has no address.
    """
    addresses = list(await resolver(host, port))
    if not addresses:
        raise ToolError(f"The host {host!r} has no address.")
    if is_allowed(host, port, allow_hosts):
        return addresses
    for text in addresses:
        kind = refusal(ipaddress.ip_address(text))
        if kind is not None:
            raise AddressRefusedError(
                f"The host {host!r} has the {kind} address {text}, which tools may not reach.",
                hint=f"If that is meant, set OPENMANUS_GRAPH_ALLOW_HOSTS='[\"{host}\"]'.",
            )
    return addresses


def is_allowed(host: str, port: int, allow_hosts: Sequence[str]) -> bool:
    """Whether the settings name the host, alone or with this port."""
    forms = _forms(host, port)
    return any(allowed.casefold() in forms for allowed in allow_hosts)


def is_listed(host: str, port: int, hosts: Sequence[str]) -> bool:
    """Whether a list names the host, alone or with this port, or a name above it as `*.NAME`.

    Args:
        host: A host name or address, without brackets.
        port: The port.
        hosts: The list, as `HostPattern` has its entries.
    """
    forms = _forms(host, port)
    if not _is_address(host):
        _, *labels = host.casefold().rstrip(".").split(".")
        above = {".".join(labels[first:]) for first in range(len(labels))}
        forms |= {form for name in above for form in (f"*.{name}", f"*.{name}:{port}")}
    return any(listed.casefold() in forms for listed in hosts)


def _forms(host: str, port: int) -> set[str]:
    name = host.casefold().rstrip(".")
    return {name, f"{name}:{port}"} | ({f"[{name}]", f"[{name}]:{port}"} if ":" in name else set[str]())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
