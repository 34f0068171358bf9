"""Paper claims as tests. ARCHITECTURE.md describes the packages and which of them may import which.

`verify` gives the verdicts on a claim file without pytest. It is imported when it is first used: pytest imports this package in
every project that has the plugin installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_claims.api import verify
    from pytest_claims.errors import ClaimsError, SettingsError, SpecError
    from pytest_claims.verdict import Status, Verdict

__all__ = ["ClaimsError", "SettingsError", "SpecError", "Status", "Verdict", "__version__", "verify"]

__version__ = "0.2.0"

_HOMES = {
    "verify": "api",
    "ClaimsError": "errors",
    "SettingsError": "errors",
    "SpecError": "errors",
    "Status": "verdict",
    "Verdict": "verdict",
}
"""The module of each name that is imported when it is first used."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
