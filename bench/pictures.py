"""The pictures of the documents, as SVG files in docs/images.

    .venv/bin/python bench/pictures.py

Writes the flow, the folder of an app, the house and the rehearsal's timeline. The house follows from the imports of the
modules and from the headings of the architecture page. `tests/docs/test_pictures.py` compares all pictures with the
project, and draws the report of `check`, which needs a checkout with mistakes. A picture has its own background,
follows the colours that the reader prefers, and needs no font and no network.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
STYLE = """
text{font:14px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
svg{--paper:#fff;--ink:#1f2328;--soft:#57606a;--line:#8c959f;--box:#f3f5f8;--up:#dbeafe;--git:#dcfce7;--edge:#2563eb;
--pull:#15803d;--bad:#b42318}
@media(prefers-color-scheme:dark){svg{--paper:#161b22;--ink:#e6edf3;--soft:#9da7b3;--line:#6e7681;--box:#21262d;
--up:#1e3a5f;--git:#14432a;--edge:#6ea8fe;--pull:#4ade80;--bad:#ff8f85}}
.paper{fill:var(--paper);stroke:var(--line)}.box{fill:var(--box);stroke:var(--line)}
.up{fill:var(--up);stroke:var(--edge)}.git{fill:var(--git);stroke:var(--pull)}
.soft{fill:var(--soft);font-size:12px}.head{font-weight:600}.mid{text-anchor:middle}.end{text-anchor:end}
.edge{fill:none;stroke:var(--edge);stroke-width:1.5}.pull{fill:none;stroke:var(--pull);stroke-width:1.5}
.grid{stroke:var(--line);stroke-opacity:.35}.rule{stroke:var(--line);stroke-dasharray:4 4}
.mono text,.mono{font:12px ui-monospace,Menlo,Consolas,monospace}.bad{fill:var(--bad)}
"""
HEADS = (
    '<defs><marker id="up" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">'
    '<path d="M0 0L6 3L0 6z" style="fill:var(--edge)"/></marker>'
    '<marker id="pull" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">'
    '<path d="M0 0L6 3L0 6z" style="fill:var(--pull)"/></marker></defs>'
)

# Seconds of one rehearsal of the stack homelab: 59 applications, two cores, programs built, November 2026.
AT_THE_RIGHT = 108  # seconds; the note of a later step stands before its bar
STEPS = (
    ("engine", "up", 0, 28, "Pulumi starts; Git serves the tree"),
    ("machines", "up", 28, 29, "images, VMs"),
    ("cluster", "up", 29, 47, "Talos, etcd, Kubernetes"),
    ("CRDs", "up", 48, 76, "152 definitions"),
    ("CNI", "up", 60, 78, "Cilium"),
    ("certificates", "up", 78, 97, "cert-manager, issuers"),
    ("secrets", "up", 78, 94, "External Secrets, store"),
    ("Argo CD", "up", 78, 108, "its controllers run"),
    ("layer crds", "git", 108, 122, "from here on, Argo CD syncs"),
    ("layer infrastructure", "git", 122, 166, "network, storage, databases"),
    ("layer applications", "git", 166, 191, "all Synced and Healthy"),
)


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return one SVG document."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{HEADS}\n'
        f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
    )


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Return words at a place."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def box(x: float, y: float, width: float, kind: str, head: str, *lines: str) -> str:
    """Return a box with a heading and soft lines below it."""
    middle = x + width / 2
    rows = [text(middle, y + 22, head, "mid head")]
    rows += [text(middle, y + 40 + 16 * number, line, "mid soft") for number, line in enumerate(lines)]
    height = 32 + 16 * len(lines)
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height}" rx="6"/>' + "".join(rows)


def arrow(path: str, kind: str = "edge") -> str:
    """Return a line that ends in a head."""
    return f'<path class="{kind}" d="{path}" marker-end="url(#{"pull" if kind == "pull" else "up"})"/>'


def flow() -> str:
    """Draw how settings become a cluster, and how Git keeps it."""
    rooms = (
        ("machines", "images, VMs", "on Proxmox"),
        ("cluster", "Talos,", "Kubernetes"),
        ("platform", "CNI, certificates,", "secrets, Argo CD"),
        ("handover", "projects,", "ApplicationSets"),
    )
    parts = [text(20, 30, "day 0: ./homelab up", "head"), text(190, 30, "Pulumi creates, in this order", "soft")]
    parts.append(box(20, 46, 150, "box", "stack file", "settings and", "encrypted secrets"))
    for number, (head, *lines) in enumerate(rooms):
        left = 200 + 145 * number
        parts += [arrow(f"M{left - 28 if number else 170} 78H{left - 4}"), box(left, 46, 115, "up", head, *lines)]
    parts += [
        '<path class="rule" d="M20 142H760"/>',
        text(20, 170, "day 2: git push", "head"),
        text(190, 170, "Argo CD pulls, compares, syncs", "soft"),
        box(20, 188, 150, "box", "Git", "apps/", "one folder is one app"),
        box(300, 188, 170, "git", "Argo CD", "one Application", "for each folder"),
        box(600, 188, 160, "box", "live objects", "status: Synced, Healthy", "or the difference"),
        arrow("M296 220H174", "pull"),
        text(235, 212, "reads", "mid soft"),
        arrow("M470 208H596", "pull"),
        text(533, 202, "applies, prunes", "mid soft"),
        arrow("M600 236H474", "pull"),
        text(533, 252, "watches for drift", "mid soft"),
        arrow("M692 110V150H440V184", "edge"),
        arrow("M150 110V184", "edge"),
        text(158, 132, "./homelab settings", "soft"),
    ]
    return picture(780, 274, "From settings to a cluster that Git keeps", parts)


def app() -> str:
    """Draw an app with its base, two environments and their settings."""
    parts = [box(290, 20, 200, "git", "base/", "jellyfin.domain", "the app itself")]
    for left, way, stack, environment, domain in (
        (20, "M330 84V242H264", "Pulumi.dev.yaml", "dev", "dev.example.com"),
        (520, "M450 84V242H516", "Pulumi.homelab.yaml", "production", "home.example.com"),
    ):
        middle = left + 120
        parts += [
            box(left, 20, 240, "box", stack, f"domain: {domain}", f"environment: {environment}"),
            arrow(f"M{middle} 84V126"),
            text(middle + 10, 110, "./homelab settings", "soft"),
            box(left, 130, 240, "git", f"_settings/{environment}/", f"networkDomain: {domain}"),
            arrow(f"M{middle} 178V206", "pull"),
            box(left, 210, 240, "git", f"jellyfin/{environment}/", "base and settings,", "what differs: pins, sizes"),
            arrow(way, "pull"),
            arrow(f"M{middle} 274V302", "pull"),
            box(left, 306, 240, "box", "Application media-jellyfin", f"jellyfin.{domain}"),
        ]
    return picture(780, 374, "An app, its environments and their settings", parts)


def layers() -> list[str]:
    """Return the rooms in import order, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    order = next(one["layers"] for one in settings["contracts"] if one["type"] == "layers" and "ops" in one["layers"])
    return [*(name for name in order if name != "tests"), "programs", "errors"]


def imports(rooms: Sequence[str]) -> set[tuple[str, str]]:
    """Return each pair of a room and a room that it imports."""
    found = set()
    for room in rooms:
        files = (ROOT / room).rglob("*.py") if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
        for file in files:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {(room, name.split(".")[0]) for name in names}
    return {(one, other) for one, other in found if other in rooms and one != other}


def house() -> str:
    """Draw the rooms in import order, and each import between two of them."""
    rooms = layers()
    page = (ROOT / "docs" / "understanding" / "architecture.md").read_text(encoding="utf-8")
    about = dict(re.findall(r"^## `([a-z]+)[/.][a-z]*` . (.*)$", page, re.MULTILINE))
    arrows = sorted(imports(rooms), key=lambda pair: (rooms.index(pair[0]), rooms.index(pair[1])))
    step, right, parts = 54, 390, []
    middle = {room: 60 + step * number + 18 for number, room in enumerate(rooms)}
    for room in rooms:
        name = f"{room}/" if (ROOT / room).is_dir() else f"{room}.py"
        parts.append(f'<rect class="box" x="20" y="{middle[room] - 18}" width="370" height="36" rx="6"/>')
        parts += [text(34, middle[room] + 5, name, "head"), text(150, middle[room] + 4, about[room], "soft")]
    for one, other in arrows:
        # The longest curve leaves highest and arrives lowest, so that curves of one room do not cross.
        distance = rooms.index(other) - rooms.index(one)
        leave = middle[one] + 14 - round(30 / len(rooms) * distance)
        arrive = middle[other] - 14 + round(30 / len(rooms) * distance)
        reach = right + 20 + 32 * distance
        parts.append(arrow(f"M{right} {leave}C{reach} {leave} {reach} {arrive} {right + 2} {arrive}"))
    up = [pair for pair in arrows if rooms.index(pair[1]) < rooms.index(pair[0])]
    parts.insert(0, text(20, 32, f"{len(rooms)} rooms, {len(arrows)} imports, {len(up)} upwards", "head"))
    return picture(640, 60 + step * len(rooms), "The rooms of the program and their imports", parts)


def timeline() -> str:
    """Draw the steps of one measured rehearsal."""
    left, scale, row = 170, 2.7, 26
    bottom = 52 + row * len(STEPS)
    parts = [text(20, 28, "A rehearsal of 59 applications on two cores: 3 min 11 s", "head")]
    for seconds in range(0, 211, 30):
        x = left + scale * seconds
        parts.append(f'<path class="grid" d="M{x:g} 42V{bottom}"/>')
        parts.append(text(x, bottom + 18, f"{seconds // 60}:{seconds % 60:02}", "mid soft"))
    for number, (name, kind, begin, end, note) in enumerate(STEPS):
        y, x, width = 48 + row * number, left + scale * begin, max(3, scale * (end - begin))
        parts.append(text(left - 12, y + 14, name, "end"))
        parts.append(f'<rect class="{kind}" x="{x:g}" y="{y}" width="{width:g}" height="18" rx="3"/>')
        before = begin >= AT_THE_RIGHT
        parts.append(text(x - 8 if before else x + width + 8, y + 13, note, "soft end" if before else "soft"))
    return picture(780, bottom + 32, "The steps of a rehearsal and their duration", parts)


def report(command: str, lines: Sequence[str]) -> str:
    """Draw the output of a command as it looks on a terminal."""
    rows = [("$ " + command, "head mono")]
    for line in lines:
        kind = "mono bad" if line.endswith("]") else "mono"
        for number, part in enumerate(textwrap.wrap(line, 100, break_long_words=False)):
            rows.append((part if number == 0 else f"    {part}", kind))
    parts = [
        f'<text xml:space="preserve" x="20" y="{34 + 19 * number}" class="{kind}">{escape(words)}</text>'
        for number, (words, kind) in enumerate(rows)
    ]
    return picture(780, 46 + 19 * len(rows), f"The output of {command}", parts)


def pictures() -> dict[str, str]:
    """Return every picture that follows from the checkout, by its file name."""
    assert all(one[2] <= other[2] for one, other in pairwise(STEPS))
    return {"app.svg": app(), "flow.svg": flow(), "house.svg": house(), "timeline.svg": timeline()}


def main() -> None:
    """Write the pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name, drawn in pictures().items():
        (IMAGES / name).write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
