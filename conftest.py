"""pytest's own plugin tester, for tests/; claims/ needs nothing from here."""

from __future__ import annotations

pytest_plugins = ["pytester"]
