"""What a user sees while claims run: progress bars, and what a run is about to need."""

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
    """What writes a line to the terminal; in an xdist worker it writes nothing."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def write(told: str) -> None:
        if reporter is not None and not hasattr(config, "workerinput"):
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(text.line(told))

    return write


def progress(config: pytest.Config) -> ProgressMaker:
    """What makes a progress bar on a terminal, and nothing in a log, a pipe or an xdist worker."""
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
                        # The bar is drawn while pytest captures: it needs a descriptor that capturing does not replace.
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
