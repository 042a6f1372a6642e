"""Capture: the output of a pipe, kept in bounded memory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios

KEEP = 1_000_000
"""Bytes of one stream kept between two takings: half from its head, half from its tail."""

_CHUNK = 65_536


class Capture:
    """A pipe that is emptied as it fills; of a flood, head and tail are kept and the cut is named."""

    def __init__(self, keep: int = KEEP) -> None:
        """Open the pipe.

        Args:
            keep: Bytes kept between two takings.
        """
        self._half = keep // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._cut = 0
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_end, self._on_readable)

    def close_write_end(self) -> None:
        """Leave the writing end to the process that inherited it."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Stop reading; what was kept stays."""
        self.close_write_end()
        if self._read_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            self._read_end = -1

    def text(self) -> str:
        """The output since the last `take`; more may follow."""
        self._catch_up()
        if len(self._head) + len(self._tail) > 2 * self._half:
            self._trim()
        if not self._cut:
            return _decode(self._head + self._tail)
        cut = f"\n[... {self._cut:,} bytes left out ...]\n"
        return _decode(self._head) + cut + _decode(self._tail)

    def take(self) -> str:
        """The output since the last `take`, which is then forgotten."""
        text = self.text()
        self._head.clear()
        self._tail.clear()
        self._cut = 0
        return text

    def _on_readable(self) -> None:
        if not self._read(_CHUNK):
            # Every writer is gone; a pipe at its end would be reported as readable for ever.
            self._loop.remove_reader(self._read_end)

    def _catch_up(self) -> None:
        """Read what lies in the pipe now, and no more: a writer may be faster than any reader."""
        if self._read_end < 0:
            return
        answer = fcntl.ioctl(self._read_end, termios.FIONREAD, b"\0" * 4)
        waiting = int(struct.unpack("=i", answer)[0])
        while waiting > 0 and (count := self._read(min(waiting, _CHUNK))):
            waiting -= count

    def _read(self, most: int) -> int:
        try:
            data = os.read(self._read_end, most)
        except BlockingIOError:
            return 1
        self._add(data)
        return len(data)

    def _add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(room, 0) :]
        # Cutting at twice the size moves each byte once, not at every read.
        if len(self._tail) > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._cut += surplus


def _decode(data: bytes | bytearray) -> str:
    """As UTF-8 text without NUL, which neither JSON columns nor models take."""
    return bytes(data).decode("utf-8", errors="replace").replace("\0", "\ufffd")
