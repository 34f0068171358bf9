"""Paper claims as tests. The rooms and who may import whom: ARCHITECTURE.md."""

__all__ = ["__version__"]

__version__ = "0.2.0"
