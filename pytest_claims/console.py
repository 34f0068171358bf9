"""Output to the terminal while claims run: messages and progress bars. Under `-q` there is none."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pytest_claims import text
from pytest_claims.progress import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pytest

    from pytest_claims.progress import Progress, ProgressMaker


def quiet(config: pytest.Config) -> bool:
    """Whether nothing is written while claims run: under `-q`, in an xdist worker, and where pytest has no terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter is None or hasattr(config, "workerinput") or config.option.verbose < 0


def say(config: pytest.Config) -> Callable[[str], None]:
    """A function that writes a line. A terminal shows as much of it as it has columns, except under `-v`."""
    if quiet(config):
        return lambda _told: None
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def write(told: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            indent = told[: len(told) - len(told.lstrip())]
            shown = indent + text.line(told)
            if reporter.isatty and config.option.verbose < 1:
                shown = text.cut(shown, config.get_terminal_writer().fullwidth)
            reporter.ensure_newline()
            reporter.write_line(shown)

    return write


def progress(config: pytest.Config) -> ProgressMaker:
    """A maker of progress bars: refreshed in place on a terminal; in a log or a pipe, a line every 30 seconds."""
    if quiet(config):
        return silent
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    @contextmanager
    def bar(
        total: int,
        label: str,
        /,
        *,
        unit: str = " images",
        done: int = 0,
        note: Callable[[float], str] | None = None,
    ) -> Iterator[Progress]:
        from pytest_claims import meter

        with ExitStack() as stack:
            stream: Any = sys.stderr
            if capture is not None:
                with capture.global_and_fixture_disabled():
                    stream = sys.stderr
                    if stream.isatty():
                        # The bar is drawn while pytest captures output, so it needs its own copy of the file descriptor.
                        stream = stack.enter_context(os.fdopen(os.dup(stream.fileno()), "w"))
            shown: AbstractContextManager[Progress]
            if stream.isatty():
                begin = reporter.ensure_newline
                shown = meter.on_terminal(stream, total, label, unit=unit, done=done, note=note, begin=begin)
            else:
                shown = meter.Lines(total, label, unit=unit, done=done, note=note, write=say(config))
            yield stack.enter_context(shown)

    return bar
