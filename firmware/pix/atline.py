# Lines that the modem prints: which there are, and what they tell.
#
# All that comes from the module as a text or a number becomes one here, and nowhere else: bytes that were damaged on
# the line give an empty text or a negative number, never an exception.

from micropython import const

LINKS = const(5)  # numbers 0 to 4

# Lines with and without a CR LF of their own in front.
_LED = (b"OK", b"ERROR", b"FAIL", b"SEND OK", b"SEND FAIL", b"SEND Canceled", b"busy p...", b"busy s...", b"ready")
_BARE = (
    b"WIFI CONNECTED",
    b"WIFI GOT IP",
    b"WIFI DISCONNECT",
    b"DHCP TIMEOUT",
    b"FAIL",
    b"SEND FAIL",
    b"DNS Fail",
    b"link is not valid",
    b"UNLINK",
    b"ALREADY CONNECTED",
    b"no ip",
    b"No AP",
    b"scan fail",
    b"QAP fail",
    b"no change",
    b"too long",
    b"BUFFER FULL",
    b"QUEUE FULL",
    b"send mode error",
    b"ID ERROR",
    b"IP ERROR",
    b"Link type ERROR",
    b"ENTRY ERROR",
    b"Miss param",
    b"Connection exists",
    b"link is builded",
)
_BARE_STARTS = (
    b"+CIPDOMAIN:",
    b"+CIPSTATUS:",
    b"+CIPRECVLEN:",
    b"+CIPSTA",
    b"+CIFSR:",
    b"+CIPRECVMODE:",
    b"+CIPMUX:",
    b"+CW",
    b"+UART",
    b"+STA_",
    b"+LINK_CONN:",
    b"+SYSMSG",
    b"+SLEEP:",
    b"+QUITT",
    b"+CIPAP",
    b"+CIPSTO:",
    b"+CIPSERVERMAXCONN:",
    b"+CIPSNTPTIME:",
    b"+DIST_STA_IP:",
    b"STATUS:",
    b"AT version:",
    b"SDK version:",
    b"compile time:",
    b"Bin version",
)

# Lines behind which the CR LF of the OK that follows is their own line end (records of 1.1 to 1.7.4).
_UNENDED = (
    b"compile time:",
    b"Bin version",
    b"+UART",
    b"+CIPSNTPTIME:",
    b"+CWAUTOCONN:",
    b"+CIPSERVERMAXCONN:",
)


def unended(line):
    # True for a line that OK follows without an empty line between.
    for start in _UNENDED:
        if line.startswith(start):
            return True
    return False


def well_formed(line, lead):
    # True for a line that AT 1.x prints (CIPMUX=1, echo off) behind `lead` empty lines.
    if lead:
        if line in _LED or line[:5] == b"+IPD,":
            return line[:5] != b"+IPD," or link_and_count(line, 5, len(line))[0] >= 0
        if line[:5] == b"Recv ":
            return line[-6:] == b" bytes" and number(line, 5, len(line) - 6) > 0
        if line[-8:] == b",SEND OK":
            return link_and_count(line, 0, len(line) - 8)[0] >= 0
        if line[-10:] == b",SEND FAIL":
            return link_and_count(line, 0, len(line) - 10)[0] >= 0
        return line == b"Will force to restart!!!"
    if line in _BARE:
        return True
    if line[1:2] == b"," and 0 <= number(line, 0, 1) < LINKS:
        rest = line[2:]
        if rest == b"CLOSED" or rest == b"CONNECT" or rest == b"CONNECT FAIL":
            return True
    if 48 <= line[0] <= 57:
        return _pair(line)  # the segment numbers that CIPSENDBUF tells before its prompt
    for start in _BARE_STARTS:
        if line.startswith(start):
            return _telling(line)
    return False


def _telling(line):
    # True when what follows the known start of `line` can be what the module prints there. Only the lines of +CW may
    # hold any byte: names of networks come raw.
    if line[:3] == b"+CW":
        return True
    for c in line:
        if not 32 <= c <= 126:
            return False
    if line[:11] == b"+CIPDOMAIN:":
        return address(line[11:]) != ""
    return line[:11] != b"+CIPSTATUS:" or open_link(line) >= 0


def _pair(line):
    comma = line.find(b",")
    return comma > 0 and number(line, 0, comma) >= 0 and number(line, comma + 1, len(line)) >= 0


def address(text):
    # The IPv4 address `text` (bytes of a line, or a str of the user's) as str, "" when it is none.
    data = text.encode() if isinstance(text, str) else text
    parts = data.split(b".")
    if len(parts) != 4:
        return ""
    for part in parts:
        if not 0 < len(part) <= 3 or not part.isdigit() or int(part) > 255:
            return ""
    return data.decode()


def plain(data):
    # Printable ASCII `data` (bytes of a line) as text, "" when it holds anything else.
    for c in data:
        if not 32 <= c <= 126:
            return ""
    return data.decode()


def station_address(line):
    # The address in a line +CIPSTA_CUR:ip:"192.168.4.50", "" when it has none.
    at = line.find(b':ip:"')
    return address(line[at + 5 : -1]) if at > 0 and line[-1:] == b'"' else ""


def signal_of(line):
    # The strength in a line +CWJAP:"name","mac",channel,-61, in dBm; 0 when it is none.
    if line[:6] != b"+CWJAP":
        return 0
    fields = line[line.rfind(b'"') + 1 :].split(b",")
    value = fields[2] if len(fields) > 2 else b""
    strength = number(value, 1, len(value)) if value[:1] == b"-" else -1
    return -strength if 0 < strength < 128 else 0


def open_link(line):
    # The link that a line +CIPSTATUS:<link>,"TCP",... tells to be open, -1 when it is no such line.
    if line[:11] != b"+CIPSTATUS:" or line[12:13] != b",":
        return -1
    link = number(line, 11, 12)
    return link if link < LINKS else -1


def scanned_name(line):
    # The network's name (bytes: any are allowed) in a line +CWLAP:(ecn,"name",rssi,"mac",...), b"" when it is none. It
    # is printed raw, so it is what stands between the first quote and the last one that fits.
    if line[:8] != b"+CWLAP:(":
        return b""
    first = line.find(b',"')
    mac = line.rfind(b',"')
    end = line.rfind(b'",', 0, mac)
    if not 0 < first < end:
        return b""
    return line[first + 2 : end]


def link_and_count(text, start, end):
    # Link and count of text[start:end] = b"<link>,<count>"; (-1, 0) when it is not that.
    if end - start < 3 or text[start + 1] != 44:
        return -1, 0
    link = number(text, start, start + 1)
    count = number(text, start + 2, end)
    if not 0 <= link < LINKS or count < 1:
        return -1, 0
    return link, count


def number(text, start, end):
    # The decimal number text[start:end], -1 when it is none (a leading zero is none either: nobody prints it).
    if not 0 < end - start <= 10 or (text[start] == 48 and end - start > 1):
        return -1
    value = 0
    for i in range(start, end):
        digit = text[i] - 48
        if not 0 <= digit <= 9:
            return -1
        value = value * 10 + digit
    return value
