"""HTML of the report: a few building blocks, each of which escapes every text it is given, and the page around them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from matplotlib.figure import Figure

__all__ = ["Html", "animation", "bullets", "details", "heading", "page", "paragraph", "picture", "table"]

#: Text that is HTML already. Only the functions of this module make it, out of escaped text.
Html = NewType("Html", str)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fdfdfb; --soft: #5d646d; --line: #d9dce0; --good: #16794c;
  --doubt: #a85300; --card: #f3f4f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7e4; --paper: #16181b; --soft: #a2a9b2; --line: #363b41;
  --good: #58c797; --doubt: #f0a45a; --card: #202328; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 46rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 1rem 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
ul { padding-left: 1.2rem; } li { margin: .35rem 0; }
li.good::marker { content: "\\2713  "; color: var(--good); } li.doubt::marker { content: "!  "; color: var(--doubt);
  font-weight: bold; }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--line);
  background: white; }
figcaption { margin-top: .5rem; }
figcaption, .soft { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin: .6rem 0; } summary { cursor: pointer; }
pre { background: var(--card); padding: .8rem; border-radius: 6px; overflow-x: auto; font-size: .8rem; line-height: 1.4;
  overflow-wrap: normal; }
"""


def paragraph(text: str, *, soft: bool = False) -> Html:
    """One paragraph; ``soft`` for remarks."""
    return Html(f'<p class="soft">{escape(text)}</p>' if soft else f"<p>{escape(text)}</p>")


def heading(text: str, *, level: int = 2) -> Html:
    """A heading; its text in lower case is its anchor."""
    anchor = escape("-".join(text.lower().split()))
    return Html(f'<h{level} id="{anchor}">{escape(text)}</h{level}>')


def bullets(items: Iterable[tuple[str, str]]) -> Html:
    """A list of (kind, text); the kinds ``good`` and ``doubt`` are marked as such, any other is plain."""
    rows = "".join(f'<li class="{escape(kind)}">{escape(text)}</li>' for kind, text in items)
    return Html(f"<ul>{rows}</ul>")


def table(header: Sequence[str], rows: Iterable[Sequence[str | int | float | None]]) -> Html:
    """A table; numbers are set right, ``None`` as a dash."""

    def cell(value: str | int | float | None, tag: str) -> str:
        if value is None:
            return f"<{tag}>–</{tag}>"
        if isinstance(value, str):
            return f"<{tag}>{escape(value)}</{tag}>"
        text = f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
        return f'<{tag} class="number">{text}</{tag}>'

    head = "".join(cell(name, "th") for name in header)
    body = "".join("<tr>" + "".join(cell(value, "td") for value in row) + "</tr>" for row in rows)
    return Html(f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def picture(figure: Figure, *, caption: str, description: str) -> Html:
    """A figure inside the page, as PNG in base64, with its caption and a description for those who cannot see it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=160, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return _figure("png", stream.getvalue(), caption, description)


def animation(gif: bytes, *, caption: str, description: str) -> Html:
    """An animated GIF inside the page, as a picture."""
    return _figure("gif", gif, caption, description)


def _figure(kind: str, content: bytes, caption: str, description: str) -> Html:
    data = base64.b64encode(content).decode("ascii")
    image = f'<img src="data:image/{kind};base64,{data}" alt="{escape(description)}">'
    return Html(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")


def details(summary: str, text: str) -> Html:
    """Preformatted text that opens on a click."""
    return Html(f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>")


def page(title: str, subtitle: str, parts: Iterable[Html]) -> str:
    """The whole document. It loads nothing from anywhere and runs no script; its policy forbids both."""
    body = "\n".join(parts)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="soft">{escape(subtitle)}</p>
{body}
</body>
</html>
"""
