"""What must hold of every page: it fits the window, and its readers can read it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCROLLS = '.stTable, [data-testid="stDataFrame"], pre, [data-testid="stMultiSelect"]'
"""What may be wider than its frame, since its reader can scroll it there."""

LAYOUT = """scrolls => {
  const found = [];
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; // as WCAG defines it
  };
  const main = document.querySelector('[data-testid="stMain"]');
  const shown = e =>
    e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const name = e => `<${e.tagName.toLowerCase()} ${e.dataset?.testid ?? ''}> `
    + `"${(e.textContent ?? '').trim().slice(0, 50)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth)
    found.push(`the page is ${root.scrollWidth} px wide, the window ${innerWidth}`);
  for (const e of document.querySelectorAll('body *')) {
    if (!shown(e) || e.matches('canvas, input, svg *') || e.clientWidth < 2) continue;
    const { overflowX, overflowY } = getComputedStyle(e);
    const wide = e.scrollWidth - e.clientWidth, high = e.scrollHeight - e.clientHeight;
    if (wide > 1 && ['hidden', 'clip'].includes(overflowX))
      found.push(`${wide} px are cut off at the right of ${name(e)}`);
    if (wide > 1 && ['auto', 'scroll'].includes(overflowX) && !e.closest(scrolls))
      found.push(`${name(e)} must be scrolled by ${wide} px to the right`);
    if (high > 4 && ['hidden', 'clip'].includes(overflowY) && main.contains(e))
      found.push(`${high} px are cut off at the bottom of ${name(e)}`);
  }
  const texts = [], slack = 4; // a box of text is higher than its letters
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.textContent.trim() || !shown(node.parentElement)) continue;
    if (node.parentElement.closest('[data-testid="stMultiSelect"]')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.width > 1 && box.height > 1) texts.push([box, node]);
  }
  for (const [box, node] of texts) {
    const picture = node.parentElement.closest('svg')?.getBoundingClientRect();
    if (picture && (box.left < picture.left - slack || box.right > picture.right + slack
        || box.top < picture.top - slack || box.bottom > picture.bottom + slack))
      found.push(`"${node.textContent}" leaves its chart`);
  }
  const paper = luminance(getComputedStyle(
    document.querySelector('[data-testid="stApp"]')).backgroundColor);
  for (const text of main.querySelectorAll('svg.marks text')) {
    const ink = luminance(getComputedStyle(text).fill);
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < 4.5 && ink !== paper && shown(text)) // a halo has the paper's colour
      found.push(`"${text.textContent}" in a chart has a contrast of ${contrast}`);
  }
  const area = (width, height) => Math.max(width, 0) * Math.max(height, 0);
  texts.forEach(([a, one], i) => texts.slice(i + 1).forEach(([b, two]) => {
    const shared = area(
      Math.min(a.right, b.right) - Math.max(a.left, b.left),
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
    const smaller = Math.min(area(a.width, a.height), area(b.width, b.height));
    // a label of a chart has a halo of the same text
    if (shared > smaller / 3 && one !== two && one.textContent !== two.textContent)
      found.push(`"${one.textContent}" and "${two.textContent}" lie on each other`);
  }));
  return found;
}"""

# Streamlit's own faults, as axe-core names them: rule, and what matches the element.
KNOWN = (
    # st.table and st.code scroll in frames without tabindex. The keyboard scrolls them
    # all the same: browsers focus a frame that scrolls and holds nothing to focus.
    ("scrollable-region-focusable", ".stTable > div"),
    ("scrollable-region-focusable", ".stCode pre"),
)


def layout_faults(page: Page) -> list[str]:
    """Text that is cut off, pale or lies on other text; what the window cuts off."""
    return page.evaluate(LAYOUT, SCROLLS)


def accessibility_faults(page: Page) -> list[str]:
    """The serious and critical violations of axe-core's rules that are not KNOWN."""
    found = []
    for rule in Axe().run(page).response["violations"]:
        if rule["impact"] not in ("serious", "critical"):
            continue
        for node in rule["nodes"]:
            [target] = node["target"]
            element = page.locator(target)
            known = [selector for name, selector in KNOWN if name == rule["id"]]
            if any(element.evaluate("(e, s) => e.matches(s)", s) for s in known):
                continue
            found.append(f"{rule['id']} ({rule['impact']}): {node['html'][:150]}")
    return found
