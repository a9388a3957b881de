"""What commands set and a reset forgets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Settings:
    """Settings of a module since its last reset, with the firmware's own values; what lasts is in `Flash`."""

    mode: int
    """Of Wi-Fi: 1 station, 2 access point, 3 both (CWMODE)."""
    scan_mask: int
    """Which fields CWLAP prints, a bit each (CWLAPOPT)."""
    scan_sort: bool = True
    """CWLAP prints the strongest network first (CWLAPOPT)."""
    echo: bool = True
    """ATE."""
    mux: bool = False
    """Five links instead of one (CIPMUX)."""
    transparent_mode: bool = False
    """CIPMODE=1."""
    passive: bool = False
    """Data waits in the module until it is asked for (CIPRECVMODE=1)."""
    show_remote: bool = False
    """+IPD tells the peer's address (CIPDINFO)."""
    sysmsg: int = 0
    """Which notices are printed, a bit each (SYSMSG)."""
    sleep: int = 2
    """0 none, 1 light, 2 modem sleep (SLEEP)."""
    server_port: int | None = None
    """Of the open server (CIPSERVER)."""
    server_timeout_s: int = 180
    """After which a silent client of the server is closed (CIPSTO)."""
    server_max: int = 5
    """Clients that the server takes (CIPSERVERMAXCONN)."""
    ssl_size: int = 2048
    """CIPSSLSIZE."""
    join_timeout_s: int = 0
    """Set by CWJAPTO; 0 means the version's own schedule."""
    time_servers: tuple[int, tuple[bytes, ...]] | None = None
    """Time zone in hours and names of the servers, once CIPSNTPCFG asked for the time."""
    time_heard_at: int = 0
    """Virtual time at which the first answer of a time server is in."""
    own_network: tuple[bytes, bytes, int, int, int, int] = (b"", b"", 1, 0, 4, 0)
    """Name, key, channel, encryption, most stations and hidden of the module's own network (CWSAP)."""
    ap_address: tuple[str, str, str] = ("", "", "")
    """Address, gateway and netmask in it (CIPAP)."""
    dhcp: int = 3
    """Bit 0: the DHCP server of the own network runs; bit 1: the station asks for its address (CWDHCP)."""
    lease: tuple[int, str, str] | None = None
    """Minutes of a lease, first and last address (CWDHCPS)."""
    name_servers: tuple[str, ...] | None = None
    """Set by CIPDNS; None: those of the joined network."""
    mac: str = ""
    """Of the station (CIPSTAMAC)."""
    ap_mac: str = ""
    """Of the access point (CIPAPMAC)."""
    announced: tuple[bytes, bytes, int] | None = None
    """Host name, service and port that MDNS tells."""
