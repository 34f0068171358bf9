"""Did the bar move? Compares the claims, and everything that affects their results, with the merge base.

A change that makes a model worse can be hidden by a change that makes its claim easier to pass: another tolerance, another id,
another file, other references, another pytest configuration, or a removed claim. With `--claims-base=REV`, every report names
each such change. It is red, unless it is accepted with `--claims-accept-moved`.
"""

from pytest_claims.baseline.compare import Comparison, Scope, compare
from pytest_claims.baseline.config import FileChange
from pytest_claims.baseline.match import Change
from pytest_claims.baseline.tree import Tree

__all__ = ["Change", "Comparison", "FileChange", "Scope", "Tree", "compare"]
