# What the versions of the AT firmware can do, in one table: the driver looks here before it asks the module, and
# `maixpix doctor` reads this file to tell what a module has and lacks.
#
# Source: the command tables compiled into NONOS SDK 2.0.0, 2.1.0, 2.2.0, 2.2.1 and 3.0 to 3.0.6 (AT 1.3 to 1.7.6);
# older ones from recorded sessions, ESP-AT 2.x from Espressif's list of its commands. Builds may lack some all the same
# (Ai-Thinker's 1.2 has no UART commands), so the module's own ERROR is the last word.

from pix.atline import number

OTHER = (2, 0)  # from here on it is ESP-AT, another program: other answers, and +IPD that cannot be proven

# name -> (command, first version that has it, first version that has it no more)
FEATURES = {
    "receive": ("CIPRECVMODE", (1, 7), ()),
    "pipeline": ("CIPSENDBUF", (1, 0), (2, 0)),
    "names": ("CIPDOMAIN", (1, 0), ()),
    "rate": ("UART_CUR", (1, 0), ()),
    "clock": ("CIPSNTPCFG", (1, 4), ()),
    "mdns": ("MDNS", (1, 3), ()),
    "wps": ("WPS", (1, 3), ()),
    "hostname": ("CWHOSTNAME", (1, 4), ()),
    "messages": ("SYSMSG", (1, 6), ()),
}


def can(version, name):
    # True when AT `version`, (1, 7), has the feature.
    _, first, gone = FEATURES[name]
    return first <= version and (not gone or version < gone)


def version(text):
    # (1, 7) from what GMR tells, b"AT version:1.7.4.0(...)...", (0, 0) when there is none in it.
    at = text.find(b"AT version:")
    numbers = text[at + 11 :].split(b".")
    if at < 0 or len(numbers) < 2:
        return 0, 0
    major, minor = [number(part, 0, len(part)) for part in numbers[:2]]
    return (0, 0) if major < 0 or minor < 0 else (major, minor)
