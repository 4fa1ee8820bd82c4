"""A matplotlib figure as inline SVG that follows the page: its colours by name, its text in the page's font.

matplotlib writes colours and sizes into `style` attributes, which a strict Content-Security-Policy forbids
and dark mode could not change. Here they become attributes, and each colour of the theme becomes a class.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from stepsize.report.theme import THEMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
NAMES = {value: name.replace("_", "-") for name, value in THEMES["light"]._asdict().items()}


def inline_svg(figure: Figure, *, prefix: str, alt: str) -> str:
    """The figure, drawn in the light theme, as an `<svg>` element; `prefix` keeps its ids apart on a page.

    The page shows through: the figure loses its background.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    buffer = io.StringIO()
    # text stays text: searchable, and in the reader's font; the same figure is the same file
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stepsize"}):
        # savefig would draw the figure twice: once more for a layout that this one settles as it is drawn
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{SVG}metadata", f"{SVG}style"} or child.tag.endswith("}RDF"):
                parent.remove(child)
    text = ET.tostring(root, encoding="unicode")
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    for element in root.iter():
        _plain(element, used, prefix)
    box = root.get("viewBox", "0 0 1 1").split()
    root.attrib.clear()
    root.attrib.update({"viewBox": " ".join(box), "role": "img", "aria-label": alt})
    return _without_namespaces(root)


def _plain(element: ET.Element, used: set[str], prefix: str) -> None:
    """Styles to attributes, theme colours to classes, ids made unique or dropped."""
    name = element.attrib.pop("id", None)
    if name in used:
        element.set("id", f"{prefix}-{name}")
    href = element.attrib.pop(HREF, None)
    if href:
        element.set("href", f"#{prefix}-{href[1:]}")
    if "clip-path" in element.attrib:
        element.set("clip-path", re.sub(r"url\(#", f"url(#{prefix}-", element.get("clip-path", "")))
    for declaration in filter(None, (part.strip() for part in element.attrib.pop("style", "").split(";"))):
        key, _, value = declaration.partition(":")
        _attribute(element, key.strip(), value.strip())
    classes = [
        f"{kind}-{NAMES[element.attrib.pop(kind)]}"
        for kind in ("fill", "stroke")
        if element.get(kind) in NAMES
    ]
    if classes:
        element.set("class", " ".join(classes))


def _attribute(element: ET.Element, key: str, value: str) -> None:
    if key != "font":
        element.set(key, value)
        return
    # matplotlib's shorthand: "700 9px 'DejaVu Sans'"; the family is left to the page
    if size := re.search(r"([\d.]+)px", value):
        element.set("font-size", size[1])
    if weight := re.match(r"(?:\w+ )*?(bold|[6-9]00) ", value):
        element.set("font-weight", weight[1])


def _without_namespaces(root: ET.Element) -> str:
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)
