"""The report as an SVG picture: one panel for each scenario, one bar for each peer, ratios as labels.

Bars are linear from zero.  One that would dwarf the others is cut off and marked; its label has the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from loadtests.report import SUBJECT, Line, Report
from loadtests.scenarios import Metric, Scenario

_COLOURS = {
    "twistproxy": "#c2410c",
    "envoy": "#7c3aed",
    "nginx": "#15803d",
    "haproxy": "#0369a1",
    "twisted.web.proxy": "#78716c",
}
_UNITS = {"cpu_us": "CPU µs per request", "p99_ms": "p99 latency, ms", "memory_kib": "memory, MiB"}
_WIDTH, _NAMES, _BARS = 520, 130, 240
_ROW, _HEAD, _GAP = 24, 50, 18
_CUT = 2.2  # bars end at this many times the reference's


def draw(report: Report) -> str:
    """The whole SVG document."""
    panels = [scenario for scenario in report.scenarios if report.lines[scenario.name]]
    columns = 2 if len(panels) > 1 else 1
    heights = [_height(report.lines[scenario.name]) for scenario in panels]
    rows = [max(heights[start : start + columns]) for start in range(0, len(panels), columns)]
    width, height = columns * _WIDTH + 20, 70 + sum(rows) + _GAP * len(rows) + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
        f' viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(24, 34, "Cost of a request, side by side", size=20, weight=600),
        _text(24, 54, f"One core for each proxy, equal work. Shorter is better. × = {report.reference}."),
    ]
    y = 70
    for row, tallest in enumerate(rows):
        for column, scenario in enumerate(panels[row * columns : (row + 1) * columns]):
            out += _panel(report, scenario, 24 + column * _WIDTH, y)
        y += tallest + _GAP
    about = ", ".join(str(report.about[name]) for name in ("date", "cpu", "kernel") if name in report.about)
    out += [_text(24, height - 12, about, size=11, fill="#78716c"), "</svg>", ""]
    return "\n".join(out)


def _height(lines: Sequence[Line]) -> int:
    return _HEAD + _ROW * len(lines)


def _value(line: Line, metric: Metric) -> float:
    return line.memory_kib / 1024 if metric == "memory_kib" else float(getattr(line, metric))


def _panel(report: Report, scenario: Scenario, x: int, y: int) -> list[str]:
    lines = report.lines[scenario.name]
    values = [_value(line, scenario.metric) for line in lines]
    reference = next((v for line, v in zip(lines, values) if line.peer == report.reference), max(values))
    full = min(max(values), _CUT * reference) or 1.0
    out = [
        _text(x, y + 18, scenario.title, size=14, weight=600),
        _text(x, y + 36, _UNITS[scenario.metric], size=11, fill="#78716c"),
    ]
    for index, (line, value) in enumerate(zip(lines, values)):
        top = y + _HEAD + index * _ROW
        bar = _BARS * min(value, full) / full
        colour = _COLOURS.get(line.peer, "#525252")
        weight = 600 if line.peer == SUBJECT else 400
        out.append(_text(x + _NAMES - 8, top + 13, line.peer, anchor="end", weight=weight))
        out.append(
            f'<rect x="{x + _NAMES}" y="{top}" width="{bar:.1f}" height="{_ROW - 7}" rx="2" fill="{colour}"/>'
        )
        if value > full:
            slash = x + _NAMES + bar - 26
            points = f"{slash},{top + 17} {slash + 6},{top} {slash + 12},{top} {slash + 6},{top + 17}"
            out.append(f'<polygon points="{points}" fill="#ffffff"/>')
        ratio = "" if line.ratio is None else f"  ×{line.ratio:.2f}"
        note = " (below the rate)" if line.saturated else ""
        out.append(
            _text(x + _NAMES + bar + 6, top + 13, f"{_figure(value)}{ratio}{note}", weight=weight, size=12)
        )
    mark = x + _NAMES + _BARS * min(reference, full) / full
    bottom = y + _HEAD + len(lines) * _ROW - 4
    out.append(
        f'<line x1="{mark:.1f}" y1="{y + _HEAD - 5}" x2="{mark:.1f}" y2="{bottom}" stroke="#1c1917"'
        ' stroke-opacity="0.4" stroke-dasharray="3 3"/>'
    )
    return out


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text(
    x: float,
    y: float,
    text: str,
    size: int = 13,
    weight: int = 400,
    anchor: str = "start",
    fill: str = "#1c1917",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="{fill}">{escape(text)}</text>'
    )
