"""Is that number in that cell of that table? Claim + the paper's source → `CitationCheck`.

A source is HTML (arXiv's, ar5iv's), LaTeX or PDF that lies on this machine; nothing is downloaded. docs/citations.md says what
is checked and how.
"""

from pytest_claims.citation.derived import check_all as check
from pytest_claims.citation.library import BESIDE, Library, named
from pytest_claims.citation.models import CitationCheck, Document, Found, Neighbour, Result

__all__ = ["BESIDE", "CitationCheck", "Document", "Found", "Library", "Neighbour", "Result", "check", "named"]
