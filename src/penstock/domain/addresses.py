"""Network addresses: which ones are on the public internet, and nowhere nearer."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052): the last 32 bits say which address is really meant."""


def is_public(address: str) -> bool:
    """Whether an IP address is reachable on the internet: not private, loopback, link-local, multicast or reserved.

    An IPv4 address inside an IPv6 one counts as what it is. What is no address is not public.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inside is None and found in _TRANSLATED:
            inside = IPv4Address(int(found) & 0xFFFF_FFFF)
        if inside is not None:
            found = inside
    return found.is_global and not found.is_multicast and not found.is_reserved


def names_private_host(url: str) -> bool:
    """Whether a URL's host is written as an address that is not public, or is this machine by name."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not is_public(host)
