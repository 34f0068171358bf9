"""Keeps the progress bars and the advice of libraries out of the terminal; their errors still come as exceptions."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def transformers_quiet() -> Iterator[None]:
    """Without transformers' loading bar and warnings."""
    from transformers.utils import logging

    # huggingface_hub warns whoever changes what this variable says.
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
    """Without `datasets`' bars."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
