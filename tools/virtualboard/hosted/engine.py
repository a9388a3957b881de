"""The hosted firmware: power-up, boot, the program, the REPL, soft and hard resets.

Boot order of MaixPy v0.6.2 (`maixpy_main.c`, `builtin_py/_boot.py`): `/flash` is mounted; the card is mounted in the
background; `_boot` chooses the current directory, waits 200 ms, looks for IDE mode, writes a `main.py` where there is
none, takes over `cover.*.py`, prints the banner; then `boot.py` and `main.py` run from the current directory.

Longer than 350 lines: one boot from power-up to the prompt, in its order.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtualboard.clock import MS
from virtualboard.hosted import image_jpeg, lcd, maix, sensor, stdlib, stock_network, system
from virtualboard.hosted.builtins_ import device_builtins
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.costs import CARD_DELAY_MS, Costs
from virtualboard.hosted.errors import Crash, HardReset, PowerOff, SoftReset, Stopped
from virtualboard.hosted.files import open_file
from virtualboard.hosted.flash_fs import FlashFiles
from virtualboard.hosted.heap import Heap
from virtualboard.hosted.image_module import image_module
from virtualboard.hosted.loader import Decode, Loader
from virtualboard.hosted.machine import machine_module
from virtualboard.hosted.repl import Prompt
from virtualboard.hosted.terminal import Stdio, Terminal
from virtualboard.hosted.traces import format_exception
from virtualboard.hosted.uart import UARTHS, uart_class
from virtualboard.hosted.vfs import Volumes
from virtualboard.program import Program

if TYPE_CHECKING:
    from virtualboard.board import Board

_START_NS = 250 * MS  # reset to interpreter: copying the firmware from flash, clocks, SPIFFS mount

_BANNER = r"""
 __  __    __    ____  _  _  ____  _  _
(  \/  )  /__\  (_  _)( \/ )(  _ \( \/ )
 )    (  /(__)\  _)(_  )  (  )___/ \  /
(_/\/\_)(__)(__)(____)(_/\_)(__)   (__)   (virtual board)
"""

_DEMO_MAIN = """\
import lcd
lcd.init()
lcd.clear(lcd.RED)
lcd.draw_string(lcd.width() // 2 - 68, lcd.height() // 2 - 4, "Welcome to MaixPy", lcd.WHITE, lcd.RED)
"""


class Engine:
    """Plays the firmware on `board`.

    `program` runs once and ends the run; without it the board boots as it would, and `repl` says whether it then
    stays at the prompt. `end_ns` is the virtual time at which the power goes off.
    """

    def __init__(
        self,
        board: Board,
        program: Program | None = None,
        repl: bool = False,
        costs: Costs | None = None,
        card_delay_ms: int = CARD_DELAY_MS,
        end_ns: int | None = None,
        decode_mpy: Decode | None = None,
        argv: list[str] | None = None,
    ) -> None:
        self.board = board
        self.program = program
        """What runs instead of `boot.py` and `main.py`; may be set until `run` is called."""
        self._repl = repl
        self._card_delay_ms = card_delay_ms
        self._decode_mpy = decode_mpy
        self._argv = argv or []
        self.chip = Chip(board, costs)
        flash_dir = board.config.flash_dir
        self.flash = FlashFiles(Path(flash_dir) if flash_dir else None)
        self.volumes = Volumes(self.chip, self.flash)
        self.exit_code: int | None = None
        self.resets = 0
        self.error = ""
        """Last line of the traceback that ended the program."""
        board.on_power_cut = lambda: self.power_off("power cut")
        if end_ns is not None:
            board.clock.at(end_ns, lambda: self.power_off("time limit"))
        self.ended = "finished"
        self._power_up(0)

    # -- the outside --------------------------------------------------------------------------------------

    def power_off(self, why: str = "switched off") -> None:
        """End the run at the program's next step."""
        self.ended = why
        self.chip.stop = PowerOff()

    def run(self) -> int:
        """Run to the end; returns the exit code: 0, 1 after an uncaught exception, 3 after a reset or crash."""
        while True:
            try:
                self._session()
                break
            except SoftReset:
                self._softly = True
            except HardReset as reset:
                self.resets += 1
                # What FatFs had not written yet was in the chip's memory.
                self.board.card.power_loss()
                if self.program is not None:
                    self.ended = "reset"
                    self.exit_code = 3
                    break
                self._power_up(reset.cause)
            except Crash:
                self.ended = "crash"
                self.exit_code = 3
                break
            except PowerOff:
                break
        if self.exit_code is None:
            self.exit_code = 0 if self.ended == "finished" or self.program is None else 3
        self._drain()
        return self.exit_code

    def _reset_softly(self) -> None:
        """A soft reset drops every Python object: files are closed, open sockets close their link."""
        self._softly = False
        self.chip.console("[MaixPy]: soft reboot\r\n")
        self.main.__dict__.clear()
        self.loader.loaded.clear()
        self.chip.scheduled.clear()
        self.chip.heap.collect()

    def _drain(self) -> None:
        """Let what was printed reach the other end of the console."""
        self.chip.stop = None
        lane = self.board.console_tx
        self.board.clock.advance_to(lane.busy_until + 2 * MS)

    # -- one power cycle ----------------------------------------------------------------------------------

    def _power_up(self, cause: int) -> None:
        chip = self.chip
        chip.power_up(cause)
        chip.heap = Heap(chip.next_heap_size)
        self.flash.close_all()
        self.volumes.mounted.clear()
        uart, ports = uart_class(chip)
        chip.on_remap[:] = [port.rewire for port in ports.values()]
        self.uart, self.ports = uart, ports
        self.lcd = lcd.Lcd(chip, self.volumes)
        self.jpeg = image_jpeg.Decoder()
        self.sensor = sensor.Sensor(chip)
        self.network = stock_network.Network(chip)
        uart._repl = uart(UARTHS, 115200)
        self.terminal = Terminal(chip, ports[UARTHS])
        chip.console = self.terminal.write_raw_text
        self._cold = True
        self._raw = self._softly = False

    def _session(self) -> None:
        """From the start of the interpreter to a soft reset."""
        chip = self.chip
        if self._softly:
            self._reset_softly()
        self._start_interpreter()
        self._boot()
        if self.program is not None:
            self._run_program(self.program)
            return
        self._run_if_there("boot.py")
        if not self._raw:
            self._run_if_there("main.py")
        if not self._repl:
            return
        chip.interrupted = False  # Ctrl-C with nothing left to stop
        chip.check()
        repl = Prompt(chip, self.terminal, self.loader, self.main.__dict__)
        try:
            repl.serve(self._raw)
        except SoftReset:
            self._raw = repl.raw
            raise

    def _start_interpreter(self) -> None:
        chip = self.chip
        if self._cold:
            chip.wait(_START_NS)
            chip.console("\r\n[MAIXPY] Pll0:freq:806000000\r\n[MAIXPY] Pll1:freq:398666666\r\n")
            chip.console("[MAIXPY] cpu:freq:403000000\r\n[MAIXPY] Flash:0xef:0x17\r\n")
            self._cold = False
        chip.heap = Heap(chip.next_heap_size)
        chip.console(f"[MaixPy] gc heap=0x800cebd0-0x{0x800CEBD0 + chip.heap.size:x}({chip.heap.size})\r\n")
        self.volumes.mount_flash()
        if self.board.card.present and "sd" not in self.volumes.mounted:
            chip.clock.after(self._card_delay_ms * MS, self._card_appears)
        builtin: dict[str, Callable[[], types.ModuleType]] = dict(stdlib.factories(chip, self.board.config.seed))
        frozen = {
            "fpioa_manager": lambda: maix.fpioa_manager_module(chip),
            "board": lambda: maix.board_module(chip, self.volumes),
        }
        names = device_builtins(
            chip,
            self.terminal.write,
            lambda path, mode="r", **options: open_file(self.volumes, path, mode, **options),
            lambda source, filename, mode: self.loader.compile(source, filename, mode),
            self.volumes.read_bytes,
            self._input,
        )
        self.loader = Loader(chip, self.volumes, builtin, frozen, names, self._decode_mpy)
        stdio = Stdio(self.terminal)
        sys_members = system.sys_members(self.loader.path, self.loader.loaded, stdio, self._print_exception)
        sys_members["argv"] = list(self._argv)
        clock_members = system.time_members(chip)
        make = stdlib.make_module
        builtin |= {
            "sys": lambda: make("sys", **sys_members),
            "gc": lambda: system.gc_module(chip),
            "micropython": lambda: system.micropython_module(chip, self.terminal.write),
            "utime": lambda: make("utime", **clock_members),
            "time": lambda: make("time", **clock_members),
            "uos": lambda: make("uos", **system.uos_members(chip, self.volumes, self.board.config.seed)),
            "builtins": lambda: make("builtins", **{k: v for k, v in names.items() if not k.startswith("__")}),
            "machine": lambda: machine_module(chip, self.volumes, self.uart),
            "Maix": lambda: maix.maix_module(chip, self.volumes),
            "lcd": self.lcd.module,
            "image": lambda: image_module(chip, self.volumes, self.sensor, self.jpeg),
            "sensor": self.sensor.module,
        }
        builtin |= self.network.factories()
        self.main = self.loader.new_module("__main__")
        self.loader.loaded["__main__"] = self.main

    def _card_appears(self) -> None:
        if self.board.card.present and "sd" not in self.volumes.mounted:
            self.volumes.mount_card()

    # -- _boot --------------------------------------------------------------------------------------------

    def _boot(self) -> None:
        chip, volumes = self.chip, self.volumes
        path = self.loader.path
        path[:] = ["", "."]
        try:
            volumes.chdir("/sd" if "sd" in volumes.mounted else "/flash")
        except OSError:
            volumes.chdir("/flash")  # the card is there and cannot be read just now
        if "sd" in volumes.mounted:
            path.append("/sd")
        path.append("/flash")
        chip.console("[MaixPy] init end\r\n")
        chip.wait(200 * MS)
        if self.program is not None:
            return
        self._refuse_ide_mode()
        try:
            if "main.py" not in [entry[0] for entry in volumes.ilistdir()]:
                with open_file(volumes, "main.py", "wb") as f:
                    f.write(_DEMO_MAIN)
            self._take_covers()
        except OSError as error:
            # A frozen module that fails is told, and boot.py and main.py have their turn (MaixPy-v1 maixpy_main.c).
            self._print_exception(error)
            return
        if not self._raw:
            self.terminal.write(_BANNER)

    def _refuse_ide_mode(self) -> None:
        if self.flash.size("ide_mode.conf") is None:
            return
        self.flash.remove("ide_mode.conf")
        # The IDE's binary protocol takes the console over; nothing typed is understood until a reset.
        self.uart._repl.init(1_500_000)
        while True:
            self.terminal.read_char()

    def _take_covers(self) -> None:
        if "sd" not in self.volumes.mounted:
            return
        for name in ("boot.py", "main.py"):
            cover = f"/sd/cover.{name}"
            if self.volumes.import_stat(cover) != "file":
                continue
            new = self.volumes.read_bytes(cover)
            old = self.volumes.read_bytes(f"/flash/{name}") if self.flash.size(name) is not None else b""
            if new != old:
                with open_file(self.volumes, f"/flash/{name}", "wb") as f:
                    f.write(new)
                self.chip.reset()
                self.chip.check()

    # -- programs -----------------------------------------------------------------------------------------

    def _run_if_there(self, name: str) -> None:
        if self.volumes.import_stat(name) == "file":
            self._guarded(lambda: self.loader.run_file(name, self.main))

    def _run_program(self, program: Program) -> None:
        if self.board.card.present and "sd" not in self.volumes.mounted:
            self.chip.wait((self._card_delay_ms + 1) * MS)

        def body() -> None:
            code = self.loader.compile(program.source, program.filename)
            exec(code, self.main.__dict__)

        ok = self._guarded(body)
        if self.exit_code is None:
            self.exit_code = 0 if ok else 1

    def _guarded(self, body: Callable[[], None]) -> bool:
        """Run device code; an error goes to the console as a traceback. Returns whether it ended well."""
        self.main.__dict__["__name__"] = "__main__"
        try:
            body()
            self.chip.sync()
            return True
        except Stopped:
            raise
        except SystemExit as e:
            status = e.args[0] if e.args else 0
            if self.program is not None:
                self.exit_code = status if isinstance(status, int) else 1 if status else 0
                return True
            if self._repl:
                raise SoftReset from None
            return True
        except BaseException as e:  # noqa: BLE001 - whatever device code raised
            text = format_exception(e, self.loader)
            self.error = text.rstrip().rpartition("\n")[2]
            self.terminal.write(text)
            return False

    def _print_exception(self, error: BaseException, file: Any = None, /) -> None:
        text = format_exception(error, self.loader)
        if file is None:
            self.terminal.write(text)
        else:
            file.write(text)

    def _input(self, prompt: str) -> str:
        self.terminal.write(prompt)
        return Stdio(self.terminal).readline().rstrip("\n")

    # -- the report ---------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """What only this engine knows of a run, plain data: resets, receive rings in bytes, the GC heap in bytes."""
        return {
            "resets": self.resets,
            "uarts": {
                f"UART{number + 1}" if number != UARTHS else "UARTHS": {
                    "ring": port.largest_ring,
                    "deepest": port.deepest,
                    "dropped": port.dropped,
                }
                for number, port in self.ports.items()
                if port.largest_ring
            },
            "heap": {name: getattr(self.chip.heap, name) for name in ("size", "peak", "kept", "free")},
        }
