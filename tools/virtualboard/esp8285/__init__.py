"""An ESP8285 with Espressif's NonOS AT firmware, at its serial pins: byte-exact answers at their true times."""

from virtualboard.esp8285.air import AccessPoint, Air
from virtualboard.esp8285.modem import Modem
from virtualboard.esp8285.profiles import PROFILES, Profile

__all__ = ["PROFILES", "AccessPoint", "Air", "Modem", "Profile"]
