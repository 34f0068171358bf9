"""Did the bar move? The claims of this session, and all that decides about them, against the merge base.

A change that makes a model worse can be hidden by one that makes its claim easier: by another tolerance, under another name, in
another file, in the references, in pytest's configuration, or by leaving the claim out. Where `--claims-base=REV` is given,
each of these is named in every report, and red unless it is accepted with `--claims-accept-moved`.
"""

from pytest_claims.baseline.compare import Comparison, Scope, compare
from pytest_claims.baseline.config import FileChange
from pytest_claims.baseline.match import Change
from pytest_claims.baseline.tree import Tree

__all__ = ["Change", "Comparison", "FileChange", "Scope", "Tree", "compare"]
