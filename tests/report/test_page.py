from __future__ import annotations

from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from nwb_mivae.report.page import animation, bullets, details, heading, page, paragraph, picture, table

HOSTILE = "<script>alert('x')</script> & \"quoted\""


@pytest.mark.parametrize(
    "html",
    [
        paragraph(HOSTILE),
        paragraph(HOSTILE, soft=True),
        heading(HOSTILE),
        bullets([(HOSTILE, HOSTILE)]),
        details(HOSTILE, HOSTILE),
        table([HOSTILE], [[HOSTILE]]),
        picture(Figure(figsize=(1, 1)), caption=HOSTILE, description=HOSTILE),
        animation(b"GIF89a", caption=HOSTILE, description=HOSTILE),
        page(HOSTILE, HOSTILE, []),
    ],
)
def test_every_block_escapes_what_it_is_given(html: str):
    assert "<script" not in html
    assert '"quoted"' not in html


def test_tables_set_numbers_and_say_nothing_where_nothing_is_known():
    html = table(["a", "b", "c", "d"], [["name", 12345, 0.123456, None]])
    assert '<td class="number">12,345</td>' in html
    assert '<td class="number">0.123</td>' in html
    assert "<td>–</td>" in html


def test_a_page_is_whole_and_loads_nothing():
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    drawn = picture(Figure(figsize=(1, 1)), caption="c", description="d")
    moving = animation(b"GIF89a", caption="c", description="d")
    Reader().feed(page("title", "subtitle", [drawn, moving]))
    assert ("meta", {"charset": "utf-8"}) in seen
    assert not {tag for tag, _ in seen} & {"script", "link", "iframe"}
    assert all(attributes["src"].startswith("data:") for _, attributes in seen if attributes.get("src"))
