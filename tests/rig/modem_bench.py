"""A virtual board's modem and UART around the device's own modem driver, without the rest of the board.

The modules of firmware/pix run on CPython with the hosted engine's `machine.UART`, pads and time under them; the other
end is the real modem part on real lanes. Nothing is left in `sys.modules`, and all time is virtual.
"""

import builtins
import contextlib
import gc
import types

from rig.device import pix_code
from rig.garbage import set_aside
from virtualboard.clock import MS, Clock
from virtualboard.esp8285 import AccessPoint, Air, Modem
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.streams import BytesIO
from virtualboard.hosted.uart import uart_class
from virtualboard.network import Network
from virtualboard.network.script import Script
from virtualboard.pins import GPIOHS0, UART1_RX, Pads
from virtualboard.wire import Lane

SERVER = "127.0.0.1"
FOR_EVER_MS = 1 << 60
"""A pause that is too long for active receiving, however many links there have been since."""


class Bench:
    """`load("wifi")` gives pix.wifi; `modem` is the module, `air` and `network` its world.

    `profile`: of the AT firmware; "1.7.4 passive" with a board whose pauses are too long for active receiving.
    `allow`: networks in which links go to real sockets.
    """

    def __init__(
        self,
        profile="1.1",
        points=(("home", "correct horse"),),
        rtt_ms=4,
        io0=0,
        enable=8,
        names=None,
        allow=("127.0.0.0/8",),
        seed=0,
    ):
        set_aside()
        profile, _, self._receiving = profile.partition(" ")
        self.clock = Clock()
        self.pads = Pads()
        self.air = Air([AccessPoint(*point) if isinstance(point, tuple) else point for point in points])
        self.to_chip = Lane(self.clock, "to_chip")
        self.to_modem = Lane(self.clock, "to_modem")
        self.network = Network(self.clock, names or {}, rtt_ns=rtt_ms * MS, allow=allow)
        self.modem = Modem(self.clock, self.to_modem, self.to_chip, self.air, self.network, profile, seed)
        self.pads.serial_in[6] = self.to_chip
        self.pads.serial_out[7] = self.to_modem
        self.pads.pull(0, True)  # M1W: floating, the strap is high
        self.pads.pull(8, True)
        self.modem.strap(True)
        self.pads.on_level(0, self.modem.strap)
        self.pads.on_level(8, self.modem.enable)
        self.modem.enable(True)
        self.chip = Chip(types.SimpleNamespace(clock=self.clock, pads=self.pads))
        self.commands = []
        self.modem.on_command = self.commands.append
        self.stages = []
        self.uart, self.ports = uart_class(self.chip)
        self._modules = {}
        self._system = {
            "gc": types.SimpleNamespace(collect=gc.collect, mem_free=lambda: 0),  # there is no heap to be short of
            "micropython": types.SimpleNamespace(const=lambda value: value),
            "uio": types.SimpleNamespace(BytesIO=BytesIO),
            "utime": types.SimpleNamespace(
                ticks_ms=self._ticks_ms,
                ticks_diff=lambda a, b: a - b,
                ticks_add=lambda a, b: a + b,
                sleep_ms=lambda ms: self.chip.wait(ms * MS),
            ),
            "sys": types.SimpleNamespace(modules=self._modules),
            "machine": types.SimpleNamespace(UART=self.uart),
            "Maix": types.SimpleNamespace(GPIO=self._gpio_class()),
            "fpioa_manager": types.SimpleNamespace(fm=self._function_manager()),
        }
        self._builtins = {**vars(builtins), "__import__": self._import}
        self.PixError = self.load("errors").PixError
        self._pins = (io0, enable)

    def settings(self, networks=(("home", "correct horse"),), **more):
        return self.load("config").Settings(wifi=[list(n) for n in networks], **more)

    def bring_up(self, recover=False, idle=None, **settings):
        """The driver's modem, joined."""
        self._patch_pins()
        modem = self.load("wifi").bring_up(self.settings(**settings), self._stage, recover, idle)
        if self._receiving == "passive":
            modem._pause_ms = FOR_EVER_MS
        return modem

    def _stage(self, stage, detail):
        self.stages.append((self.clock.now // MS, stage, detail))

    def serve(self, port, factory):
        """Answer connections to SERVER:port with a new script each, in virtual time."""
        self.network.attach(SERVER, port, factory)

    def close(self):
        self.pads.release_all()
        self.modem.enable(False)
        self.network.close()

    def run(self, ms):
        self.chip.wait(ms * MS)

    @contextlib.contextmanager
    def raises(self, code):
        """The block ends with a PixError of that code."""
        try:
            yield
        except self.PixError as error:
            assert error.code == code, error
        else:
            raise AssertionError(f"no PixError {code}")

    def load(self, name):
        full = "pix." + name
        if full not in self._modules:
            module = types.ModuleType(full)
            module.__dict__["__builtins__"] = self._builtins
            self._modules[full] = module
            exec(pix_code(name), module.__dict__)
        return self._modules[full]

    def _import(self, name, globals=None, locals=None, fromlist=None, level=0):
        if name == "pix":
            package = self.load("__init__")
            for item in fromlist or ():
                setattr(package, item, self.load(item))
            return package
        if name.startswith("pix."):
            return self.load(name[4:])
        if name == "board":
            raise ImportError(name)  # no config.json on this board
        return self._system[name]

    def _patch_pins(self):
        io0, enable = self._pins
        board = self.load("board")
        board.pins = lambda name: board.Pins(wifi_io0=io0, wifi_en=enable)

    def _ticks_ms(self):
        self.chip.charge(self.chip.costs.call)
        self.chip.sync()
        return self.clock.now // MS

    def _gpio_class(self):
        chip = self.chip

        class GPIO:
            GPIOHS8, GPIOHS9, GPIOHS10, OUT = 8, 9, 10, 3

            def __init__(self, number, mode):
                assert mode == GPIO.OUT
                self._function = GPIOHS0 + number

            def value(self, level):
                chip.set_output(self._function, bool(level))

        return GPIO

    def _function_manager(self):
        chip = self.chip
        fpioa = types.SimpleNamespace(
            UART2_RX=UART1_RX + 2,
            UART2_TX=UART1_RX + 3,
            GPIOHS8=GPIOHS0 + 8,
            GPIOHS9=GPIOHS0 + 9,
            GPIOHS10=GPIOHS0 + 10,
        )
        return types.SimpleNamespace(fpioa=fpioa, register=chip.set_function)


class Once(Script):
    """Sends `body` when the first bytes come, then closes; keeps what it was sent in `heard`."""

    def __init__(self, body, close=True, heard=None):
        self._body = body
        self._close = close
        self._answered = False
        self.heard = heard if heard is not None else []

    def received(self, data):
        self.heard.append(bytes(data))
        if not self._answered:
            self._answered = True
            self.send(self._body)
            if self._close:
                self.finish()


class Sink(Script):
    """Keeps everything; answers nothing."""

    def __init__(self, heard):
        self.heard = heard

    def received(self, data):
        self.heard.append(bytes(data))


def read_all(link, limit=1 << 30, size=4096):
    """Everything up to the orderly end, or `limit` bytes."""
    view = memoryview(bytearray(size))
    out = bytearray()
    while len(out) < limit:
        count = link.readinto(view)
        if not count:
            break
        out += view[:count]
    return bytes(out)
