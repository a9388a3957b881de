"""The card on the SPI bus: an SDHC card in SPI mode, block by block, on top of a folder.

Commands, responses, tokens and register layouts: SD Physical Layer Simplified Specification 6.00, chapters 5 and 7.
What a K210 asks for and in which order: MaixPy-v1 `sdcard.c`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from virtualboard.card.fat32 import SECTOR
from virtualboard.card.registers import cid, crc7, crc16, csd
from virtualboard.card.sync import SyncReport, write_back
from virtualboard.card.volume import Volume

if TYPE_CHECKING:
    import random

    from virtualboard.card.card import SdCard

_IDLE, _ILLEGAL, _CRC_ERROR, _PARAMETER = 0x01, 0x04, 0x08, 0x40
_TOKEN, _TOKEN_MULTI, _STOP_MULTI = 0xFE, 0xFC, 0xFD
_ACCEPTED, _REJECTED_CRC, _REJECTED_WRITE = 0xE5, 0xEB, 0xED
_READ_ERROR = 0x04  # error token: the card could not correct the block
_BEFORE_INIT = frozenset({0, 1, 8, 55, 58, 59})
_NEXT_BLOCK_NS = 10_000  # between blocks of a multiple read the card has read ahead


class CardSpi:
    """The card's pins: `select` (chip select, True = low) and `exchange` (bytes in, as many bytes out).

    While it only listens, the bus is expected to carry 0xFF. Byte n of an exchange counts as sent n byte times
    (at 25 MHz) after the clock's now, so a long exchange may cross the end of a busy time by itself; between
    exchanges it is the engine that lets time pass. `ready_at` tells it how far it may jump.
    """

    def __init__(self, card: SdCard) -> None:
        self._card = card
        self.report = SyncReport()
        """What the last `flush` did."""
        self._insertion = 0
        self._volume: Volume | None = None
        self._selected = False
        self._power_on()

    def _power_on(self) -> None:
        self._ready = False
        self._init_tries = 0
        self._application = False
        self._check_crc = False
        self._command = bytearray()
        self._out: deque[tuple[int, bytes]] = deque()  # (virtual ns when it may go out, bytes)
        self._reading: int | None = None  # next block of a multiple read
        self._writing: int | None = None  # block that a data token would write
        self._write_many = False
        self._block: bytearray | None = None  # data and checksum coming in
        self._busy_until = 0
        self._in_flight: tuple[int, bytes, bytes] | None = None

    # -- pins ---------------------------------------------------------------------------------------------

    def select(self, on: bool) -> None:
        """Chip select; `on` = low. Letting go ends a reply, not a busy time."""
        self._slot()
        if on != self._selected:
            self._selected = on
            self._command.clear()
            if not on:
                self._out.clear()
                self._block = None

    def exchange(self, data: bytes) -> bytes:
        """Clock `data` through the card."""
        self._slot()
        if not self._selected or not self._card.present:
            return b"\xff" * len(data)
        byte_ns = self._card.timing.byte_ns
        start = self._card.clock.now
        out = bytearray()
        at, size = 0, len(data)
        while at < size:
            now = start + at * byte_ns
            taken = self._bulk_in(data, at, now, out) or self._bulk_out(data, at, now, out)
            if taken == 0:
                out.append(self._byte(data[at], now))
                taken = 1
            at += taken
        return bytes(out)

    @property
    def ready_at(self) -> int | None:
        """Virtual ns at which the card stops saying busy or gives its next data; None when it waits for nothing."""
        if self._out and self._out[0][0] > self._card.clock.now:
            return self._out[0][0]
        return self._busy_until if self._busy_until > self._card.clock.now else None

    @property
    def idle(self) -> bool:
        """True when the card is not selected and has nothing under way."""
        return not self._selected and self.ready_at is None

    # -- snapshots ----------------------------------------------------------------------------------------

    def state(self) -> str | None:
        """For `restore`: None until the card is initialised, else a digest of what firmware knows of its contents."""
        if not self._ready:
            return None
        return self.volume.tables_digest() if self._card.present else ""

    def restore(self, state: str | None) -> bool:
        """Be initialised again, if the contents are still those; else False, and the card is as just put in."""
        if state is None or not self._card.present:
            return True
        self._ready = state == self.volume.tables_digest()
        return self._ready

    # -- the folder behind --------------------------------------------------------------------------------

    @property
    def volume(self) -> Volume:
        """The blocks; laid out from the folder at first use after an insertion."""
        self._slot()
        if self._volume is None:
            if self._card.folder is None:
                raise ValueError("there is no card")
            self._volume = Volume(self._card.geometry, self._card.folder, self._card.leave_free)
        return self._volume

    @property
    def files_changed(self) -> bool:
        """True when blocks were written since the last `flush`."""
        return self._volume is not None and bool(self._volume.dirty)

    def flush(self) -> SyncReport:
        """Bring the folder up to date; returns what was done and what was wrong. Cheap when nothing was written."""
        self.report = write_back(self._volume) if self._volume is not None else SyncReport()
        return self.report

    def filled(self) -> None:
        """The card was filled (or emptied) by `SdCard.fill`."""
        if self._volume is not None:
            self._volume.fill(self._card.leave_free)

    def power_loss(self, chance: random.Random) -> None:
        """The power goes: a block that was still being programmed is new up to some byte and old from there."""
        if self._in_flight is not None and self._card.clock.now < self._busy_until and self._volume is not None:
            sector, old, new = self._in_flight
            cut = chance.randrange(SECTOR + 1)
            self._volume.write(sector, new[:cut] + old[cut:])
        self._power_on()

    def _slot(self) -> None:
        if self._insertion != self._card.insertions:
            self._insertion = self._card.insertions
            self._volume = None
            self._selected = False
            self._power_on()

    # -- bytes --------------------------------------------------------------------------------------------

    def _bulk_in(self, data: bytes, at: int, now: int, out: bytearray) -> int:
        """Take as much of a data block as is there; returns how many bytes."""
        if self._block is None:
            return 0
        piece = data[at : at + SECTOR + 2 - len(self._block)]
        self._block += piece
        out += b"\xff" * len(piece)
        if len(self._block) == SECTOR + 2:
            block, self._block = bytes(self._block), None
            self._store(block, now + len(piece) * self._card.timing.byte_ns)
        return len(piece)

    def _bulk_out(self, data: bytes, at: int, now: int, out: bytearray) -> int:
        """Give as much of a reply as is due while the host only listens; returns how many bytes."""
        if not self._out or self._command or self._out[0][0] > now:
            return 0
        when, reply = self._out[0]
        count = min(len(reply), len(data) - at)
        if data.count(0xFF, at, at + count) != count:
            return 0
        self._give(when, reply, count, now)
        out += reply[:count]
        return count

    def _give(self, when: int, reply: bytes, count: int, now: int) -> None:
        if count < len(reply):
            self._out[0] = (when, reply[count:])
            return
        self._out.popleft()
        if self._reading is not None and not self._out:
            self._queue_block(now + count * self._card.timing.byte_ns + _NEXT_BLOCK_NS)

    def _byte(self, byte: int, now: int) -> int:
        """One byte each way."""
        answer = 0xFF
        if not self._command and self._out:
            when, reply = self._out[0]
            if when <= now:
                answer = reply[0]
                self._give(when, reply, 1, now)
        elif now < self._busy_until:
            return 0x00  # busy: the data line is held low and nothing is heard
        if self._command or (byte & 0xC0) == 0x40:
            self._command.append(byte)
            if len(self._command) == 6:
                frame = bytes(self._command)
                self._command.clear()
                self._run(frame, now + self._card.timing.byte_ns)
        elif self._writing is not None and not self._out:
            if byte == (_TOKEN_MULTI if self._write_many else _TOKEN):
                self._block = bytearray()
            elif byte == _STOP_MULTI and self._write_many:
                self._writing = None
                self._busy(now, self._card.timing.program_ns)
        return answer

    # -- commands -----------------------------------------------------------------------------------------

    def _run(self, frame: bytes, now: int) -> None:
        number, argument = frame[0] & 0x3F, int.from_bytes(frame[1:5], "big")
        application, self._application = self._application, False
        self._out.clear()
        self._writing = None
        reading, self._reading = self._reading, None
        # Checksums are off in SPI mode, but the first two commands come before that is agreed.
        if (self._check_crc or number in (0, 8)) and frame[5] != crc7(frame[:5]):
            self._reply(now, _CRC_ERROR)
        elif not self._ready and number not in _BEFORE_INIT and not (application and number == 41):
            self._reply(now, _ILLEGAL)
        elif application:
            self._run_application(number, argument, now)
        elif number == 0:
            self._power_on()
            self._reply(now, 0)
        elif number == 12:
            # The byte after the command is undefined; a card that was not reading has nothing to stop.
            self._reply(now, 0 if reading is not None else _ILLEGAL)
        elif number == 17:
            self._read_command(argument, now, many=False)
        elif number == 18:
            self._read_command(argument, now, many=True)
        elif number in (24, 25):
            if argument >= self._card.geometry.sectors:
                self._reply(now, _PARAMETER)
            else:
                self._writing, self._write_many = argument, number == 25
                self._reply(now, 0)
        else:
            self._run_simple(number, argument, now)

    def _run_simple(self, number: int, argument: int, now: int) -> None:
        """Commands that only tell or switch something."""
        if number == 1:
            self._ready = True
            self._reply(now, 0)
        elif number == 8:
            self._reply(now, 0, bytes([0, 0, argument >> 8 & 0x0F, argument & 0xFF]))
        elif number in (9, 10):
            self._reply(now, 0)
            register = csd(self._card.geometry.sectors) if number == 9 else cid()
            self._queue_data(now, register)
        elif number == 13:
            self._reply(now, 0, b"\0")
        elif number == 16:
            # The block length of an SDHC card is fixed; asking for it is no error.
            self._reply(now, 0 if argument == SECTOR else _PARAMETER)
        elif number == 55:
            self._application = True
            self._reply(now, 0)
        elif number == 58:
            # 2.7 to 3.6 V; power-up done and high capacity once initialised.
            self._reply(now, 0, b"\xc0\xff\x80\x00" if self._ready else b"\x00\xff\x80\x00")
        elif number == 59:
            self._check_crc = bool(argument & 1)
            self._reply(now, 0)
        else:
            self._reply(now, _ILLEGAL)

    def _run_application(self, number: int, argument: int, now: int) -> None:
        if number == 41:
            # A card needs a while for this; the second question finds it done if the host does high capacity.
            self._init_tries += 1
            self._ready = self._ready or (self._init_tries >= 2 and bool(argument & 0x4000_0000))
            self._reply(now, 0)
        elif number == 13:
            self._reply(now, 0, b"\0")
            self._queue_data(now, bytes(64))
        elif number == 23:
            self._reply(now, 0)  # blocks to erase ahead: a hint
        elif number == 51:
            self._reply(now, 0)
            self._queue_data(now, bytes.fromhex("0235800300000000"))
        else:
            self._reply(now, _ILLEGAL)

    def _reply(self, now: int, status: int, rest: bytes = b"") -> None:
        """Response R1 (with what follows it in R2, R3, R7) one byte time after the command."""
        self._out.append((now, bytes([0xFF, status | (0 if self._ready else _IDLE)]) + rest))

    def _queue_data(self, when: int, data: bytes) -> None:
        self._out.append((when, b"\xff\xfe" + data + crc16(data).to_bytes(2, "big")))

    # -- blocks -------------------------------------------------------------------------------------------

    def _read_command(self, sector: int, now: int, many: bool) -> None:
        if sector >= self._card.geometry.sectors:
            self._reply(now, _PARAMETER)
            return
        self._reply(now, 0)
        self._reading = sector
        self._queue_block(now + self._card.timing.read_access_ns)
        if not many:
            self._reading = None

    def _queue_block(self, when: int) -> None:
        """The block that `_reading` points at, or an error token; then the next one."""
        sector = self._reading
        if sector is None or sector >= self._card.geometry.sectors or self._card.take_read_fault():
            self._reading = None
            self._out.append((when, bytes([_READ_ERROR])))
            return
        self._card.bytes_read += SECTOR
        self._card.busy_until = max(self._card.busy_until, when)
        self._queue_data(when, self.volume.read(sector))
        self._reading = sector + 1

    def _store(self, block: bytes, now: int) -> None:
        """A whole block has come in: answer, and be busy with it."""
        sector = self._writing
        data = block[:SECTOR]
        if sector is None:
            return
        if self._check_crc and crc16(data) != int.from_bytes(block[SECTOR:], "big"):
            self._out.append((now, bytes([_REJECTED_CRC])))
        elif self._card.take_write_fault() or sector >= self._card.geometry.sectors:
            self._out.append((now, bytes([_REJECTED_WRITE])))
        else:
            volume = self.volume
            self._in_flight = (sector, volume.read(sector), data)
            volume.write(sector, data)
            self._out.append((now, bytes([_ACCEPTED])))
            self._busy(now, self._card.program_time(SECTOR))
            self._writing = sector + 1
        if not self._write_many:
            self._writing = None

    def _busy(self, now: int, duration_ns: int) -> None:
        self._busy_until = now + duration_ns
        self._card.busy_until = max(self._card.busy_until, self._busy_until)
