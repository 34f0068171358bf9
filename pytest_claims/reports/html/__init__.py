"""One page that holds everything: the verdict table, each claim's evidence, and what was generated, image by image.

It needs the extra `pytest-claims[report]`, which is imported only here and only when such a report is written: jinja2, and
svg.py for the plots. svg.py is typed, has no dependencies, is imported in a tenth of a second, and gives about a kilobyte of
plain SVG that the page's own style colours, light and dark. matplotlib's SVG is many times as large and brings its own fonts
and colours; altair and plotly draw in the browser and would bring megabytes of script; drawsvg has no types. svg.py does not
escape: `plots.py` does.

The page asks the network for nothing, and its content security policy would refuse it: nothing is loaded but `data:` images,
and only the one script and the one style whose hashes it names are run. Texts that are not ours go through autoescape, or, in
JSON blocks, through `embed.block`; the script makes nodes and sets their text. The same records give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_claims import text
from pytest_claims.reports.html import embed, view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from pytest_claims.reports.format import Gallery, Record, RunInfo

STATUSES = ("pass", "partial", "fail", "pending", "error", "not_attempted")
"""In the order of the counts at the top."""

SIDE = 160
"""The longest side of a thumbnail as the page shows it, in CSS pixels."""

_HERE = Path(__file__).parent

_NO_GALLERIES: Mapping[str, Gallery] = MappingProxyType({})


def render(run: RunInfo, records: Sequence[Record], galleries: Mapping[str, Gallery] = _NO_GALLERIES) -> str:
    """The page.

    Args:
        run: what the session was asked, and how it ended.
        records: one per claim, or per file that stands for claims.
        galleries: by the record's `evidence.claim.nodeid`, what was generated behind it. Claims whose galleries have the same
            `evidence` share their captions and thumbnails: the page holds those once.

    Returns:
        HTML that is complete in itself.

    Raises:
        ImportError: the extra `pytest-claims[report]` is not installed; `settings.py` has refused the option by then.
    """
    shown = embed.galleries(records, galleries)
    claims = view.claims(records, shown.of)
    script, style = asset("page.js"), asset("page.css")
    counts = Counter(str(record.verdict.status) for record in records)
    return environment().get_template("page.html.jinja").render(
        run=run,
        answer=view.answer(run, records),
        red=view.red(run, records),
        counts=[(status, counts[status]) for status in STATUSES if counts[status]],
        total=len(records),
        claims=[claim for claim in claims if not claim.folded],
        folded=view.folded(claims),
        papers=sorted({claim.paper for claim in claims if claim.paper}),
        metrics=sorted({claim.metric for claim in claims if claim.metric}),
        blocks=shown.blocks,
        script=script,
        style=style,
        policy=policy(script, style),
        side=SIDE,
        page_size=embed.PAGE,
    )  # fmt: skip


def asset(name: str) -> str:
    """The text of the page's script or style."""
    return _HERE.joinpath("templates", name).read_text(encoding="utf-8")


def policy(script: str, style: str) -> str:
    """The content security policy; hashes and not nonces, since a page that is the same each time has no secret.

    Without a script, none may run.
    """
    named = {
        name: f"'sha256-{_digest(source)}'" if source else "'none'"
        for name, source in (("script", script), ("style", style))
    }
    return (
        f"default-src 'none'; img-src data:; script-src {named['script']}; style-src {named['style']}; "
        # No node is ever made from text: the browser itself refuses innerHTML and its kin.
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def environment(*folders: Path) -> Environment:
    """The templates of the report, and those in other folders, with every text escaped."""
    import jinja2

    def finalize(value: Any) -> Any:
        """Every text that a template prints goes through here, before it is escaped."""
        return text.clean(value) if type(value) is str else value

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE / "templates"]),
        autoescape=True,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
