"""Progress bars as lines of text: one that is refreshed in place on a terminal, and one that writes a line now and then."""

from __future__ import annotations

import io
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pytest_claims import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

REFRESH = 0.5
"""Seconds between two refreshes on a terminal."""
DELAY = 1.0
"""Seconds after which a step is shown on a terminal. A shorter one would only break the line of pytest's dots."""
EVERY = 30.0
"""Seconds between two lines in a log."""
LABEL = 12
"""How many characters of the label are shown at least."""


class Meter(tqdm):  # type: ignore[type-arg] # it iterates over nothing
    """A line that is refreshed in place: label, done of all, rate, time left, and a note.

    Args:
        total: how many units there are; 0 if that is not known, and only the label is shown.
        label: the name of the step.
        unit: see `ProgressMaker`.
        done: how many units were done before.
        note: gives a text from the seconds since the start.
        begin: called before the line is shown for the first time.
        options: those of tqdm.
    """

    monitor_interval = 0  # tqdm's thread, which corrects `miniters`, has nothing to do: that is always 1

    def __init__(
        self,
        total: int,
        label: str,
        *,
        unit: str,
        done: int,
        note: Callable[[float], str] | None,
        begin: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> None:
        self._label, self._note, self._begin = text.line(label), note, begin
        self._begun = False
        super().__init__(
            total=total or None,
            initial=done,
            unit=unit,
            unit_scale=unit == "B",
            miniters=1,
            leave=False,
            bar_format="{told}",
            **options,
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Show the line; tqdm calls this when it is time to. It returns what tqdm's method does."""
        if not self._begun:
            self._begun = True
            self._begin()
        return super().display(msg, pos)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What tqdm formats, and `told`, the whole line."""
        values = dict(super().format_dict)
        values["told"] = self._told(values) if hasattr(self, "_label") else ""
        return values

    def _told(self, values: dict[str, Any]) -> str:
        if self.total is None:
            return text.cut_middle(f"{self._label} …", values["ncols"] or text.LINE)
        size, unit = (tqdm.format_sizeof, "B") if self.unit == "B" else ("{:,}".format, self.unit)
        parts = [f"{size(self.n)} of {size(self.total)}{unit}"]
        # tqdm's own rate is a moving average over the last seconds; it is None before the second refresh.
        rate = values["rate"] or ((self.n - self.initial) / values["elapsed"] if values["elapsed"] else 0)
        if rate:
            pace = size(rate) if self.unit == "B" else f"{rate:.{0 if rate >= 10 else 2}f}"
            parts += [f"{pace}{unit}/s", f"{tqdm.format_interval((self.total - self.n) / rate)} left"]
        if self._note is not None and (note := self._note(values["elapsed"])):
            parts.append(note)
        told = ", ".join(parts)
        room = (values["ncols"] or text.LINE) - len(told) - 2
        return f"{text.cut_middle(self._label, max(LABEL, room))}: {told}"


class Lines(Meter):
    """The same text as a plain line, written every `EVERY` seconds: for a log.

    Args:
        write: writes a line.
        arguments: those of `Meter`.
    """

    def __init__(self, *arguments: Any, write: Callable[[str], object], **options: Any) -> None:
        self._write = write
        super().__init__(*arguments, file=io.StringIO(), mininterval=EVERY, delay=EVERY, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:  # noqa: ARG002 - tqdm's arguments
        """Write the line; tqdm calls this when it is time to. An empty `msg` means that the bar is closed."""
        if msg is None:
            self._write(str(self))


@contextmanager
def on_terminal(stream: TextIO, total: int, *arguments: Any, **options: Any) -> Iterator[Meter]:
    """A meter that is refreshed in place on `stream`, and is shown if the step takes longer than `DELAY`."""
    with Meter(total, *arguments, file=stream, mininterval=REFRESH, delay=DELAY, dynamic_ncols=True, **options) as bar:
        timer = Timer(DELAY, _late, [bar])
        timer.daemon = True
        if not total:  # nothing will update it
            timer.start()
        try:
            yield bar
        finally:
            timer.cancel()


def _late(bar: Meter) -> None:
    """Show a bar that is never updated."""
    bar.last_print_t = bar.start_t + DELAY  # so that tqdm knows of a line to clear
    bar.refresh()
