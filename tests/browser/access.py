"""What stands in the way of people who do not see well, or who use no mouse: found on the page as it is drawn."""

from typing import Any

from playwright.sync_api import Page

LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
MOST_TABS = 200

CONTROLS = "button, input:not([type=hidden]), select, textarea, a[href], [tabindex='0']"

NAMELESS = """(controls) => [...document.querySelectorAll(controls)]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.ariaLabel || document.getElementById(one.getAttribute("aria-labelledby"))?.innerText
    || [...(one.labels ?? [])].map((label) => label.innerText).join("") || one.innerText).trim())
  .map((one) => `no name: ${one.outerHTML.slice(0, 120)}`)"""

OUT_OF_ORDER = """() => [...document.querySelectorAll("[tabindex]")].filter((one) => one.tabIndex > 0)
  .map((one) => `out of order: ${one.outerHTML.slice(0, 120)}`)"""

# A gradient counts by its worst colour.
PALE = """(least) => {
  const colours = (text) => [...text.matchAll(/rgba?\\(([^)]+)\\)/g)].map(([, inside]) => {
    const [r, g, b, a = 1] = inside.split(/[ ,/]+/).map(Number);
    return { r, g, b, a };
  });
  const mix = (top, below, c) => top[c] * top.a + below[c] * (1 - top.a);
  const over = (top, below) => ({ ...Object.fromEntries([..."rgb"].map((c) => [c, mix(top, below, c)])), a: 1 });
  const backs = (node) => {
    if (!node) return [{ r: 255, g: 255, b: 255, a: 1 }];
    const style = getComputedStyle(node);
    const hasGradient = style.backgroundImage.includes("gradient");
    const tops = colours(hasGradient ? style.backgroundImage : style.backgroundColor);
    if (tops.every((one) => one.a === 1)) return tops;
    return tops.flatMap((top) => backs(node.parentElement).map((below) => over(top, below)));
  };
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const worst = (node) => {
    const [ink] = colours(getComputedStyle(node).color);
    return Math.min(...backs(node).map((back) => ratio(over(ink, back), back)));
  };
  const hasWords = (node) => node.matches("input, select, textarea")
    || [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  const written = [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && !node.closest(".unseen, .skip, svg, option") && hasWords(node));
  return written.filter((node) => worst(node) < least)
    .map((node) => `contrast ${worst(node).toFixed(2)}: ${node.outerHTML.slice(0, 120)}`);
}"""

REACHABLE = """(controls) => [...document.querySelectorAll(controls)]
  .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex === 0).length"""

FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  document.seen ??= new Set();
  const isNew = !document.seen.has(one);
  document.seen.add(one);
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  const isSeen = outlineStyle === "auto" || (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
  return { isNew, isSeen, html: one.outerHTML.slice(0, 120) };
}"""


def barriers(page: Page) -> list[str]:
    """Return what has no name, stands out of the tab order, or is too pale to read."""
    return [
        *page.evaluate(NAMELESS, CONTROLS),
        *page.evaluate(OUT_OF_ORDER),
        *page.evaluate(PALE, LEAST_CONTRAST),
    ]


def lost_on_the_way(page: Page) -> list[str]:
    """Walk the page with the Tab key; return where the focus cannot be seen, and how much is out of reach."""
    page.evaluate("document.seen = new Set()")
    page.locator("a[href]").first.focus()  # the first of all; Shift+Tab leads to before it
    page.keyboard.press("Shift+Tab")
    wrong, reached = [], 0
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused: dict[str, Any] | None = page.evaluate(FOCUSED)
        if focused is None or not focused["isNew"]:
            break
        reached += 1
        wrong += [] if focused["isSeen"] else [f"focus not seen: {focused['html']}"]
    total = page.evaluate(REACHABLE, CONTROLS)
    return wrong + ([] if reached == total else [f"the Tab key reaches {reached} of {total}"])
