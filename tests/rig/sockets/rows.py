import network
import usocket
import utime
from fpioa_manager import fm
from machine import UART

fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
nic = network.ESP8285(UART(UART.UART2, 115200, read_buf_len=8192))
nic.connect("home", "correct horse")
SERVER = usocket.getaddrinfo("server", 80)[0][-1]
HEAD = "GET /lines HTTP/1.0\r\n\r\n"


def tell(name, function):
    begun = utime.ticks_ms()
    try:
        said = repr(function())
    except AttributeError:
        said = "AttributeError"
    except Exception as error:
        said = "%s %s" % (type(error).__name__, repr(error.args))
    took = utime.ticks_diff(utime.ticks_ms(), begun)
    print("row %s | %s | %s" % (name, said, "waits" if took > 700 else "at once"))


def asked(timeout=1):
    s = usocket.socket()
    s.settimeout(timeout)
    s.connect(SERVER)
    s.send(HEAD)
    return s


def call(name, *args):
    def run():
        s = usocket.socket()
        try:
            return getattr(s, name)(*args)
        finally:
            s.close()

    return run


def fresh(name, *args):
    def run():
        s = usocket.socket()
        s.connect(SERVER)
        try:
            return getattr(s, name)(*args)
        finally:
            s.close()

    return run


def connected(name, *args, timeout=1):
    def run():
        s = asked(timeout)
        try:
            return getattr(s, name)(*args)
        finally:
            s.close()

    return run


def accept():
    s = usocket.socket()
    try:
        s.bind(("0.0.0.0", 80))
        s.listen(1)
        return s.accept()
    finally:
        s.close()


def end():
    s = asked()
    try:
        while s.recv(500):
            pass
        return s.recv(500)
    finally:
        s.close()


def into():
    s = asked()
    try:
        b = bytearray(10)
        n = s.readinto(b)
        return n, bytes(b)
    finally:
        s.close()


def by_name():
    s = usocket.socket()
    try:
        return s.connect(("server", 80))
    finally:
        s.close()


def refused():
    s = usocket.socket()
    try:
        return s.connect((SERVER[0], 81))
    finally:
        s.close()


def two():
    first = asked()
    second = usocket.socket()
    try:
        second.connect(SERVER)
        second.send(HEAD)
        return first.recv(20), second.recv(20)
    finally:
        second.close()
        first.close()


tell("getaddrinfo of an address", lambda: usocket.getaddrinfo("10.0.0.2", 80))
tell("getaddrinfo of a name", lambda: usocket.getaddrinfo("server", 80))
tell("getaddrinfo of a wrong name", lambda: usocket.getaddrinfo("nowhere", 80))
for name in ("AF_INET", "AF_INET6", "SOCK_STREAM", "SOCK_DGRAM", "IPPROTO_TCP", "SOL_SOCKET", "SO_REUSEADDR"):
    tell(name, lambda: getattr(usocket, name))
for name in ("inet_pton", "inet_ntop", "error"):
    tell("usocket." + name, lambda: getattr(usocket, name))
tell("connect to a name", by_name)
tell("connect where nobody listens", refused)
tell("bind", call("bind", ("0.0.0.0", 80)))
tell("listen", call("listen", 1))
tell("accept after bind and listen", accept)
tell("setsockopt", call("setsockopt", 1, 4, 1))
tell("settimeout", call("settimeout", 1.5))
tell("setblocking", call("setblocking", True))
tell("makefile", call("makefile", "rwb"))
tell("send before connect", call("send", b"x"))
tell("recv", connected("recv", 15))
tell("recv after the end", end)
tell("read(n)", connected("read", 15))
tell("readinto", into)
tell("readline", connected("readline"))
tell("write", fresh("write", b"x"))
tell("sendall", fresh("sendall", b"x"))
tell("two sockets at once", two)
