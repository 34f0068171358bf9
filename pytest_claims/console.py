"""Output to the terminal while claims run: messages and progress bars."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pytest_claims import text
from pytest_claims.progress import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_claims.progress import Progress, ProgressMaker


def say(config: pytest.Config) -> Callable[[str], None]:
    """A function that writes a line to the terminal. In an xdist worker it writes nothing."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def write(told: str) -> None:
        if reporter is not None and not hasattr(config, "workerinput"):
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(text.line(told))

    return write


def progress(config: pytest.Config) -> ProgressMaker:
    """A maker of progress bars. The bars are shown on a terminal only, not in a log, a pipe or an xdist worker."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        return silent

    @contextmanager
    def bar(total: int, label: str, /, *, unit: str = " images") -> Iterator[Progress]:
        from tqdm import tqdm

        with ExitStack() as stack:
            stream: Any = sys.stderr
            if capture is not None:
                with capture.global_and_fixture_disabled():
                    stream = sys.stderr
                    if stream.isatty():
                        # The bar is drawn while pytest captures output, so it needs its own copy of the file descriptor.
                        stream = stack.enter_context(os.fdopen(os.dup(stream.fileno()), "w"))
            if stream.isatty():
                reporter.ensure_newline()
                shown: Any = tqdm(
                    total=total,
                    desc=text.line(label),
                    unit=unit,
                    unit_scale=unit == "B",
                    leave=False,
                    file=stream,
                    dynamic_ncols=True,
                )
            else:
                shown = silent(total, label)
            yield stack.enter_context(shown)

    return bar
