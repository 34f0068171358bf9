"""Keeps progress bars and warnings of libraries out of the terminal. Their exceptions are not affected."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def transformers_quiet() -> Iterator[None]:
    """Switch off transformers' progress bars and warnings in a context."""
    from transformers.utils import logging

    # huggingface_hub warns if code changes the progress bars while this environment variable is set.
    touched = "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if touched:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if touched and shown:
            logging.enable_progress_bar()


@contextmanager
def datasets_quiet() -> Iterator[None]:
    """Switch off the progress bars of `datasets` in a context."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
