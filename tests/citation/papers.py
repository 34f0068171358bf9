r"""Tables of papers in the shapes that sources have: LaTeXML's HTML, LaTeX as authors write it, and PDF.

Table 3 is that of BLIP-2 (arXiv 2301.12597v3). Its CIDEr and B@4 are the numbers that the shipped claims are about. Its SPICE,
its numbers of parameters and the row OSCAR agree with two public transcriptions of the paper, one made from arXiv's HTML.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = {
    "BLIP-2 ViT-g OPT-2.7B": [
        "1.1B",
        "123.0",
        "15.8",
        "117.8",
        "15.4",
        "123.4",
        "15.1",
        "119.7",
        "15.4",
        "43.7",
        "145.8",
    ],
    "BLIP-2 ViT-g OPT-6.7B": [
        "1.1B",
        "123.7",
        "15.8",
        "119.2",
        "15.3",
        "124.4",
        "14.8",
        "121.0",
        "15.3",
        "43.5",
        "145.2",
    ],
    "BLIP-2 ViT-g FlanT5-XL": [
        "1.1B",
        "123.7",
        "16.3",
        "120.2",
        "15.9",
        "124.8",
        "15.1",
        "121.6",
        "15.8",
        "42.4",
        "144.5",
    ],
}
DOMAINS = ("in-domain", "near-domain", "out-domain", "overall")
COLUMNS = (
    *(f"NoCaps Zero-shot (validation set) {domain} {metric}" for domain in DOMAINS for metric in ("CIDEr", "SPICE")),
    "COCO Fine-tuned Karpathy test B@4",
    "COCO Fine-tuned Karpathy test CIDEr",
)
"""The ten columns as a claim cites them."""

CAPTION = "Comparison with state-of-the-art methods on NoCaps and COCO Caption. C: CIDEr, S: SPICE, B@4: BLEU@4."
OSCAR = ["345M", "-", "-", "-", "-", "-", "-", "80.9", "11.3", "37.4", "127.8"]

LATEX = r"""
\documentclass{article}
\usepackage{booktabs,multirow}
\newcommand{\ours}{\textbf{BLIP-2}\xspace}
\newcommand*{\vit}[1][g]{ViT-#1}
\def\optm#1{OPT$_\text{#1}$}
\newcommand{\best}[1]{\textbf{#1}}
\begin{document}
A first table. % \begin{tabular}{c} 43.7 \end{tabular}
\begin{table}[t]\caption{One.}\begin{tabular}{lc} a & 1.5 \\ \end{tabular}\end{table}
\begin{table}[t]\begin{tabular}{lc} a & 2.5 \\ \end{tabular}\caption{Two.}\end{table}
\input{captioning}
We follow self-attention layers of prior work.
\end{document}
"""
CAPTIONING = r"""
\begin{table*}[t!]
	\centering
	\setlength{\tabcolsep}{3pt}
	\resizebox{0.98\textwidth}{!}{%
	\begin{tabular}	{l @{\hspace{6pt}} c | cc cc cc cc | cc }
		\toprule
		\multirow{3}{*}{Models} & \multirow{3}{*}{\makecell[c]{\#Trainable\\Params}} &
		\multicolumn{8}{c|}{NoCaps Zero-shot (validation set)} & \multicolumn{2}{c}{COCO Fine-tuned}\\
		& & \multicolumn{2}{c}{in-domain} & \multicolumn{2}{c}{near-domain} & \multicolumn{2}{c}{out-domain}
		& \multicolumn{2}{c|}{overall} & \multicolumn{2}{c}{Karpathy test}\\
		\cmidrule(lr){3-4} \cmidrule(lr){5-6} \cmidrule(lr){7-8} \cmidrule(lr){9-10} \cmidrule(lr){11-12}
		& & C & S & C & S & C & S & C & S & B@4 & C\\
		\midrule
		OSCAR~\cite{oscar} & 345M & - & - & - & - & - & - & 80.9 & 11.3 & 37.4 & 127.8\\
		\midrule
		%ROWS%
		\bottomrule
	\end{tabular}}
	\vspace{-1ex}
	\caption{Comparison with state-of-the-art image captioning methods on NoCaps and COCO Caption.
	C: CIDEr, S: SPICE, B@4: BLEU@4.\label{tab:caption}}
\end{table*}
"""
_LATEX_NAMES = (r"\ours{} \vit{} \optm{2.7B}", r"\ours \vit{} \optm{6.7B}", r"\ours{} \vit[g] FlanT5$_{\text{XL}}$")


def captioning_latex() -> str:
    """Table 3 as authors write it."""
    lines = []
    for name, values in zip(_LATEX_NAMES, ROWS.values(), strict=True):
        *plain, bleu, cider = values
        lines.append(" & ".join([name, *plain, rf"\best{{{bleu}}}", rf"\underline{{{cider}}}$^{{\dagger}}$"]) + r" \\")
    return CAPTIONING.replace("%ROWS%", "\n".join(lines))


def paper_latex() -> str:
    """A paper in one file, with Table 3."""
    return LATEX.replace(r"\input{captioning}", captioning_latex())


def _cell(text: str, more: str = "", *, tag: str = "td", **spans: int) -> str:
    attributes = "".join(f' {name}="{value}"' for name, value in spans.items())
    return f'<{tag} class="ltx_td ltx_align_center {more}"{attributes}>{text}</{tag}>'


def _head(text: str, **spans: int) -> str:
    return _cell(text, "ltx_th ltx_th_column ltx_border_tt", tag="th", **spans)


def _row(*cells: str) -> str:
    return f'<tr class="ltx_tr">{"".join(cells)}</tr>'


def _subscript(text: str) -> str:
    tex = f"{{}}_{{\\text{{{text}}}}}"
    return (
        f'<math alttext="{tex}" class="ltx_Math" display="inline"><semantics><msub><mi></mi><mtext>{text}</mtext></msub>'
        f'<annotation encoding="application/x-tex">{tex}</annotation></semantics></math>'
    )


def captioning_html() -> str:
    """Table 3 as LaTeXML writes it for arXiv."""
    head = [
        _row(
            _head("Models", rowspan=3),
            _head('#Trainable<br class="ltx_break">Params', rowspan=3),
            _head("NoCaps Zero-shot (validation set)", colspan=8),
            _head("COCO Fine-tuned", colspan=2),
        ),
        _row(*(_head(domain, colspan=2) for domain in DOMAINS), _head("Karpathy test", colspan=2)),
        _row(*map(_head, ["C", "S", "C", "S", "C", "S", "C", "S", "B@4", "C"])),
    ]
    cited = '<cite class="ltx_cite ltx_citemacro_citep">(Li et al., <a class="ltx_ref" href="#bib1">2020</a>)</cite>'
    body = [_row(_cell(f"OSCAR {cited}", "ltx_th ltx_th_row", tag="th"), *map(_cell, OSCAR))]
    for name, values in zip(("OPT 2.7B", "OPT 6.7B", "FlanT5 XL"), ROWS.values(), strict=True):
        model, size = name.split()
        words = f'<span class="ltx_text ltx_font_bold">BLIP-2</span> ViT-g {model}{_subscript(size)}'
        *plain, bleu, cider = values
        cells = [
            *map(_cell, plain),
            _cell(f'<span class="ltx_text ltx_font_bold">{bleu}</span>'),
            _cell(f'<span class="ltx_text ltx_framed_underline">{cider}</span><sup class="ltx_sup">†</sup>'),
        ]
        body.append(_row(_cell(words, "ltx_th ltx_th_row", tag="th"), *cells))
    return (
        '<figure class="ltx_table" id="S4.T3"><div class="ltx_inline-block ltx_align_center ltx_transformed_outer">'
        '<span class="ltx_transformed_inner"><table class="ltx_tabular ltx_guessed_headers ltx_align_middle">'
        f'<thead class="ltx_thead">{"".join(head)}</thead><tbody class="ltx_tbody">{"".join(body)}</tbody></table></span></div>'
        '<figcaption class="ltx_caption ltx_centering"><span class="ltx_tag ltx_tag_table">Table 3: </span>'
        f"{CAPTION}</figcaption></figure>"
    )


def paper_html(*figures: str) -> str:
    """A page of arXiv's with these figures, by default Table 3."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta content="text/html; charset=utf-8" http-equiv="content-type">'
        "<title>A paper</title><script>var text = '<table><tr><td>43.7</table>';</script></head><body>"
        '<div class="ltx_page_main"><article class="ltx_document"><section class="ltx_section"><div class="ltx_para">'
        '<p class="ltx_p">We follow self-attention layers of prior work.</p></div>'
        f"{''.join(figures or (captioning_html(),))}</section></article></div></body></html>"
    )


def pdf(*pages: Sequence[str]) -> bytes:
    """A PDF whose pages have these lines."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        shown = "\n".join(
            f"BT /F1 10 Tf 50 {780 - 14 * place} Td ({line.translate({40: '[', 41: ']'})}) Tj ET"
            for place, line in enumerate(lines)
        )
        data = zlib.compress(shown.encode("latin-1"))
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(data), data))
        page = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(page.encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>".encode()
    return written(objects)


def written(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """Objects of a PDF as a file; the first one is the catalog."""
    data = b"%PDF-1.7\n"
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    count = len(objects) + 1
    end = f"trailer\n<< /Size {count} /Root 1 0 R {trailer}>>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {count}\n0000000000 65535 f \n{table}{end}".encode()
