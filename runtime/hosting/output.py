"""What slices print, as structured log lines of the instance that printed them."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runtime.hosting.instance import HostLog, hosted

LINE_CHARACTERS_MAX: Final = 8_000


class CapturedStream(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr. Holds back an unfinished line per instance."""

    encoding = "utf-8"

    def __init__(self, log: HostLog, stream: str) -> None:
        super().__init__()
        self._log = log
        self._stream = stream
        self._partial: dict[str, str] = {}

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        name = hosted.get()
        *lines, rest = (self._partial.pop(name, "") + text).split("\n")
        if len(rest) > LINE_CHARACTERS_MAX:
            lines.append(rest)
            rest = ""
        if rest:
            self._partial[name] = rest
        for line in lines:
            self._emit(name, line)
        return len(text)

    def flush(self) -> None:
        """Nothing: a line is written when it ends, or by `finish`."""

    def finish(self) -> None:
        """Writes unfinished lines, at the process's end."""
        for name, line in self._partial.items():
            self._emit(name, line)
        self._partial.clear()

    def _emit(self, name: str, line: str) -> None:
        if line.strip():
            self._log.info("slice_printed", instance=name, stream=self._stream, line=line[:LINE_CHARACTERS_MAX])


class SliceLogHandler(logging.Handler):
    """The standard library's logging, as slices and their libraries use it."""

    def __init__(self, log: HostLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "instance": hosted.get(),
            "logger": record.name,
            "line": self.format(record)[:LINE_CHARACTERS_MAX],
        }
        if record.levelno >= logging.ERROR:
            self._log.error("slice_logged", **fields)
        elif record.levelno >= logging.WARNING:
            self._log.warning("slice_logged", **fields)
        else:
            self._log.info("slice_logged", **fields)


def capture_output(log: HostLog) -> tuple[CapturedStream, CapturedStream]:
    """Replaces the process's text streams and its root logger's handlers."""
    streams = CapturedStream(log, "stdout"), CapturedStream(log, "stderr")
    sys.stdout, sys.stderr = streams
    handlers = [SliceLogHandler(log)]
    logging.basicConfig(handlers=handlers, level=logging.INFO, format="%(message)s", force=True)
    return streams


@contextmanager
def captured_output(log: HostLog) -> Iterator[None]:
    """The same for a while: what a process says of its own end goes where it always went."""
    before = sys.stdout, sys.stderr
    streams = capture_output(log)
    try:
        yield
    finally:
        for stream in streams:
            stream.finish()
        sys.stdout, sys.stderr = before
