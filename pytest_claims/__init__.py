"""Paper claims as tests. ARCHITECTURE.md describes the packages and which of them may import which."""

__all__ = ["__version__"]

__version__ = "0.2.0"
