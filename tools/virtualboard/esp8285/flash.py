"""What the module keeps over resets and power cycles."""

from __future__ import annotations

from dataclasses import dataclass, fields

DEFAULT_BAUD = 115200


@dataclass
class Flash:
    """Settings that survive a reset, as Espressif delivers them."""

    baud: int = DEFAULT_BAUD
    mode: int = 1
    ssid: bytes = b""
    password: bytes = b""
    autoconnect: bool = True
    fixed: tuple[str, str, str] | None = None
    dhcp: int = 3
    """Bit 0: the DHCP server of the own network runs; bit 1: the station asks for its address."""
    hostname: bytes = b"ESP_9A7C21"
    sysmsg: int = 0
    """Notices that SYSMSG_DEF asked for."""
    through: tuple[str, int] | None = None
    """Address and port of the transparent link that SAVETRANSLINK has opened at every boot."""
    own_network: tuple[bytes, bytes, int, int, int, int] = (b"ESP_9A7C21", b"", 1, 0, 4, 0)
    """Name, key, channel, encryption, most stations and hidden of the module's own network (CWSAP)."""
    ap_address: tuple[str, str, str] = ("192.168.4.1", "192.168.4.1", "255.255.255.0")
    """Address, gateway and netmask in it (CIPAP)."""
    lease: tuple[int, str, str] | None = None
    """Minutes of a lease, first and last address (CWDHCPS); None: the server's own."""
    name_servers: tuple[str, ...] | None = None
    """Set by CIPDNS; None: those of the joined network."""
    mac: str | None = None
    """Set by CIPSTAMAC."""
    ap_mac: str | None = None
    """Set by CIPAPMAC."""

    @classmethod
    def from_dict(cls, state: dict[str, object]) -> Flash:
        """The inverse of `asdict`, lists for tuples allowed. ValueError for other fields."""
        known = [field.name for field in fields(cls)]
        if set(state) != set(known):
            raise ValueError(f"the modem keeps {', '.join(known)}, not {', '.join(state)}")
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in state.items()})  # type: ignore[arg-type]
