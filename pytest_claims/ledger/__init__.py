"""The history of published verdicts: an append-only file of JSON lines, in which each line names the lines before it.

`lines` makes and reads one line, `writer` appends under a lock, `book` reads a whole file, `rests_on` says what a verdict rests
on, `changes` compares a record with the last current verdict. docs/ledger.md describes the format for readers of the file.
"""

from __future__ import annotations

from pytest_claims.ledger.book import Book, Entry, load, parse, read
from pytest_claims.ledger.lines import Draft, Key
from pytest_claims.ledger.writer import append, retract

__all__ = ["Book", "Draft", "Entry", "Key", "append", "load", "parse", "read", "retract"]
