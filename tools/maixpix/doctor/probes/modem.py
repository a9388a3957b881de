# ruff: noqa: ANN001, ANN201, PTH123
# Doctor's probe, device code (MicroPython 1.11): the modem by plain AT commands, independent of pix.
# The keys of networks are read from the board's own settings here and never printed.

import ujson
import utime
from fpioa_manager import fm
from machine import UART
from Maix import GPIO

RATES = (115200, 1000000, 921600, 2000000, 74880, 57600, 38400, 19200, 9600, 460800, 230400, 4000000)
u = None
en = None


def ask(command, ms, ends=(b"\r\nOK\r\n", b"ERROR\r\n", b"FAIL\r\n")):
    # Send a line; returns all that came until one of `ends` or `ms` without it.
    while u.read():
        pass
    if command:
        u.write(command + b"\r\n")
    got = b""
    end = utime.ticks_add(utime.ticks_ms(), ms)
    while utime.ticks_diff(end, utime.ticks_ms()) > 0:
        more = u.read()
        if more:
            got += more
            got = got[-6000:]
            for e in ends:
                if e in got:
                    return got
    return got


def port(rate):
    global u
    u = UART(UART.UART2, rate, timeout_char=20, read_buf_len=8192)


def plain(line):
    # What is printable of `line`, as text.
    return "".join(chr(c) for c in line if 32 <= c < 127)


def knows(question):
    # True when the module has this command: its answer is more than ERROR alone.
    got = ask(question, 500).strip()
    return got != b"" and got != b"ERROR" and b"busy" not in got


def find(tx, rx, enable, io0, questions):
    # Hard reset by the enable pin, then the rate at which AT is answered, and which of the commands `questions` are.
    global en
    fm.register(rx, fm.fpioa.UART2_TX)
    fm.register(tx, fm.fpioa.UART2_RX)
    if io0 is not None:
        fm.register(io0, fm.fpioa.GPIOHS21)
        GPIO(GPIO.GPIOHS21, GPIO.OUT).value(0)
    found = {"enable": enable, "rate": 0}
    if enable is not None:
        fm.register(enable, fm.fpioa.GPIOHS20)
        en = GPIO(GPIO.GPIOHS20, GPIO.OUT)
        en.value(0)
        port(115200)
        utime.sleep_ms(100)
        while u.read():
            pass
        silent = utime.ticks_ms()
        heard_low = 0
        while utime.ticks_diff(utime.ticks_ms(), silent) < 200:
            heard_low += len(u.read() or b"")
        en.value(1)
        boot = ask(b"", 1500, (b"ready\r\n",))
        found["boot_bytes"] = len(boot)
        found["talks_while_off"] = heard_low > 0
    for rate in RATES:
        port(rate)
        if b"OK\r\n" in ask(b"AT", 300) or b"OK\r\n" in ask(b"AT", 300):
            found["rate"] = rate
            break
    if found["rate"]:
        ask(b"ATE0", 500)
        lines = ask(b"AT+GMR", 1000).split(b"\r\n")
        found["version"] = [plain(line) for line in lines if line not in (b"", b"OK", b"ERROR", b"AT+GMR\r")][:4]
        found["answered"] = [question for question in questions if knows(question.encode())]
        ask(b"AT+CIPMUX=0", 500)
        ask(b"AT+CWMODE_CUR=1", 1000)
    print(ujson.dumps(found))


def scan():
    found = []
    for line in ask(b"AT+CWLAP", 10000).split(b"\r\n"):
        if line.startswith(b"+CWLAP:("):
            first, last = line.find(b'"'), line.find(b'",-')
            if first > 0 and last > first:
                try:
                    name = line[first + 1 : last].replace(b"\\", b"").decode()
                    found.append([name, int(line[last + 2 :].split(b",")[0]), line[8:9].decode()])
                except (ValueError, UnicodeError):
                    pass
    print(ujson.dumps(found))


def quoted(text):
    for c in ("\\", '"', ","):
        text = text.replace(c, "\\" + c)
    return b'"' + text.encode() + b'"'


def stored(name, left):
    # As CWJAP, for a network whose key only the modem has (pix.config.WPS): it joins that by itself from its start on,
    # so it is started anew when it was told to join another (`left`).
    if left:
        ask(b"AT+RST", 3000, (b"ready\r\n",))
        ask(b"ATE0", 500)
        ask(b"AT+CWMODE_CUR=1", 1000)
    end = utime.ticks_add(utime.ticks_ms(), 18000)
    while utime.ticks_diff(end, utime.ticks_ms()) > 0:
        if b'+CWJAP:"' + name.encode() + b'","' in ask(b"AT+CWJAP?", 1000):
            return b"\r\nOK\r\n"
        utime.sleep_ms(300)
    return b"+CWJAP:W\r\nFAIL\r\n"


def join(path, seen):
    # Try the networks of the settings, those in range first. Reports names and codes, never keys.
    with open(path, "rb") as f:
        nets = ujson.loads(f.read().lstrip(b"\xef\xbb\xbf"))["wifi"]
    tried = []
    for name, key in [n for n in nets if n[0] in seen] + [n for n in nets if n[0] not in seen]:
        t = utime.ticks_ms()
        if key == "WPS":
            got = stored(name, len(tried) > 0)
        else:
            ends = (b"\r\nOK\r\n", b"ERROR\r\n", b"FAIL\r\n")
            got = ask(b"AT+CWJAP_CUR=" + quoted(name) + b"," + quoted(key), 20000, ends)
        one = {"name": name, "ms": utime.ticks_diff(utime.ticks_ms(), t), "joined": b"\r\nOK\r\n" in got}
        at = max(got.find(b"+CWJAP:"), got.find(b"+CWJAP_CUR:"))
        if at >= 0:
            one["code"] = got[got.find(b":", at) + 1 :][:1].decode()
        tried.append(one)
        if one["joined"]:
            break
    print(ujson.dumps(tried))


def address():
    got = ask(b"AT+CIFSR", 2000)
    at = got.find(b'STAIP,"')
    print(ujson.dumps(got[at + 7 :].split(b'"')[0].decode() if at >= 0 else ""))


def resolve(host):
    got = ask(b'AT+CIPDOMAIN="' + host.encode() + b'"', 8000)
    at = got.find(b"+CIPDOMAIN:")
    print(ujson.dumps(got[at + 11 :].split(b"\r\n")[0].decode().strip('"') if at >= 0 else ""))


def fetch(ip, port_number, head, most, limit_ms):
    # Send the request `head`; count the bytes of +IPD frames until the server closes, `most` are there or the time is
    # up. `head` may hold a password, so nothing of it is printed.
    found = {"connected": False, "bytes": 0, "ms": 1}
    t = utime.ticks_ms()
    got = ask(b'AT+CIPSTART="TCP","' + ip.encode() + b'",%d' % port_number, 12000)
    found["connect_ms"] = utime.ticks_diff(utime.ticks_ms(), t)
    if b"OK\r\n" in got:
        found["connected"] = True
        ask(b"AT+CIPSEND=%d" % len(head), 3000, (b">", b"ERROR\r\n"))
        t = last = utime.ticks_ms()
        u.write(head)
        rest = b""
        while utime.ticks_diff(utime.ticks_ms(), last) < 5000 and found["ms"] < limit_ms and found["bytes"] < most:
            more = u.read()
            if not more:
                if b"CLOSED" in rest[-12:]:
                    break
                continue
            last = utime.ticks_ms()
            rest += more
            while True:
                at = rest.find(b"+IPD,")
                colon = rest.find(b":", at)
                if at < 0 or colon < 0:
                    break
                size = int(rest[at + 5 : colon].split(b",")[-1])
                if len(rest) < colon + 1 + size:
                    break
                if not found["bytes"]:
                    found["status"] = rest[colon + 1 : colon + 20].split(b"\r\n")[0].decode()
                found["bytes"] += size
                found["ms"] = max(1, utime.ticks_diff(utime.ticks_ms(), t))
                rest = rest[colon + 1 + size :]
        ask(b"AT+CIPCLOSE", 1000)
    print(ujson.dumps(found))


def off():
    if en is not None:
        en.value(0)
