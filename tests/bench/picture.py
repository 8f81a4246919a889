"""The picture of a run: one panel a test, one bar a server, as an SVG that reads on light and on dark pages."""
from xml.sax.saxutils import escape

WIDTH, COLUMNS, GAP = 940, 2, 36
BAR, STEP, LABEL, VALUE = 15, 22, 122, 104
STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .head { font-size: 17px; font-weight: 600 } .panel { font-weight: 600 } .quiet { fill: #57606a } .own { font-weight: 600 }
    .bar { fill: #8c959f } .bar.own { fill: #0969da } .bar.floor { fill: #d0d7de } .line { stroke: #d0d7de }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .quiet { fill: #9198a1 } .bar { fill: #656c76 } .bar.own { fill: #4493f8 } .bar.floor { fill: #3d444d } .line { stroke: #3d444d }
    }
"""


def panel(f, test, title, names, x, y, width):
    """returns the panel's lines and its height; bars from the shortest, each with its figure and its ratio to unbound's"""
    bars = [(f.value(peer, test), peer) for peer in f.peers]
    bars = sorted((value, peer) for value, peer in bars if value is not None)
    base = f.value("unbound", test)
    longest = bars[-1][0]
    out = [f'<text class="panel" x="{x}" y="{y + 12}">{escape(title)}</text>']
    room = width - LABEL - VALUE
    for at, (value, peer) in enumerate(bars):
        top = y + 24 + at * STEP
        kind = " own" if peer == "linnet" else " floor" if peer.startswith("echo") else ""
        ratio = f"  {value / base:.2f}×" if base else ""
        length = max(room * value / longest, 1)
        out.append(f'<text class="{kind.strip()}" x="{x + LABEL - 8}" y="{top + 12}" text-anchor="end">{escape(names.get(peer, peer))}</text>')
        out.append(f'<rect class="bar{kind}" x="{x + LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        out.append(f'<text class="quiet{kind}" x="{x + LABEL + length + 6:.1f}" y="{top + 12}">{value:.1f} µs{ratio}</text>')
    out.append(f'<line class="line" x1="{x + LABEL}" y1="{y + 20}" x2="{x + LABEL}" y2="{y + 24 + len(bars) * STEP}"/>')
    return out, 24 + len(bars) * STEP + GAP


def draw(f, machine, tests, names):
    """returns the picture as text"""
    panels = [(test, name) for test, name, _ in tests if any((peer, test) in f.rows for peer in f.peers)]
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    heights, body = [84] * COLUMNS, []
    for test, name in panels:
        column = heights.index(min(heights))
        lines, height = panel(f, test, name, names, GAP + column * (width + GAP), heights[column], width)
        body += lines
        heights[column] += height
    height = max(heights)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="CPU per query of linnet and others">',
        f"<style>{STYLE}</style>",
        f'<text class="head" x="{GAP}" y="32">CPU for each query at saturation, and its ratio to unbound\'s</text>',
        f'<text class="quiet" x="{GAP}" y="54">Shorter is better. {escape(machine)}.</text>',
        *body, "</svg>\n"])
