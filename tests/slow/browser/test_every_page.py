"""Every page, as wide as a desk and as narrow as a phone, light and dark."""

import pytest

from tests.slow.browser.checks import accessibility_faults, layout_faults

WIDTHS = {"desk": 1440, "phone": 420}
FILLED = 200  # characters that even the shortest page has


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_page_fits_and_can_be_read(visitor, width, theme):
    seen = visitor(width=width, theme=theme)
    seen.open()
    pages = seen.pages()
    assert {"Overview", "Table 1", "Claims", "Gaps", "Compare"} <= set(pages)
    found = []
    for title, path in pages.items():
        if seen.path() != path:
            seen.follow(title)
        assert seen.path() == path
        assert not seen.page.get_by_test_id("stException").count(), title
        assert len(seen.words()) > FILLED, title
        seen.whole_page()
        faults = layout_faults(seen.page) + accessibility_faults(seen.page)
        found += [f"{title}: {fault}" for fault in faults]
    assert not found, "\n".join(found)


def test_such_faults_would_be_seen(visitor):
    seen = visitor()
    seen.open("claims")
    seen.whole_page()
    assert layout_faults(seen.page) + accessibility_faults(seen.page) == []
    seen.page.get_by_test_id("stMain").evaluate(
        """main => {
          main.insertAdjacentHTML('beforeend', `
            <p style="color: #eee; background: #fff">pale</p><img src="data:,">
            <p style="width: 3000px">wide</p>
            <p style="width: 50px; overflow: hidden; white-space: pre">cut off here</p>
            <p>below</p><p style="margin-top: -2.5rem">on it</p>`);
          main.querySelector('svg.marks text').style.fill = '#808495';
        }"""
    )
    seen.whole_page()
    faults = "\n".join(layout_faults(seen.page) + accessibility_faults(seen.page))
    for fault in (
        *("color-contrast", "image-alt", "scrolled by", "cut off", "lie on"),
        "a contrast",
    ):
        assert fault in faults
    seen.problems.clear()
