"""A picture of run.py's paired differences, as SVG."""

WIDTH, ROW, LEFT, RIGHT, TOP = 720, 56, 150, 20, 40
SPAN = 0.6  # per cent, to either side


def _x(value):
    inner = WIDTH - LEFT - RIGHT
    held = max(-SPAN, min(SPAN, value))
    return LEFT + inner * (held + SPAN) / (2 * SPAN)


def plot(rows):
    height = TOP + ROW * len(rows) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
             f'height="{height}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             f'<text x="{LEFT}" y="22">validation loss, invert minus plain, '
             'in % of plain: each pair, mean, 95 % interval</text>']
    bottom = TOP + ROW * len(rows)
    for mark in (-0.5, -0.25, 0, 0.25, 0.5):
        style = "#888" if mark == 0 else "#ddd"
        parts.append(f'<line x1="{_x(mark):.1f}" x2="{_x(mark):.1f}" '
                     f'y1="{TOP}" y2="{bottom}" stroke="{style}"/>')
        parts.append(f'<text x="{_x(mark):.1f}" y="{bottom + 20}" '
                     f'text-anchor="middle">{mark:g}</text>')
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="10" y="{y + 4:.1f}">{row["variant"]}</text>')
        for a, b in zip(row["plain"], row["invert"]):
            parts.append(f'<circle cx="{_x(100 * (b - a) / a):.1f}" '
                         f'cy="{y - 9:.1f}" r="3" fill="#4a90d9" '
                         'fill-opacity="0.5"/>')
        parts.append(f'<line x1="{_x(row["low"]):.1f}" '
                     f'x2="{_x(row["high"]):.1f}" y1="{y + 8:.1f}" '
                     f'y2="{y + 8:.1f}" stroke="#c0392b" stroke-width="3"/>')
        parts.append(f'<circle cx="{_x(row["difference_percent"]):.1f}" '
                     f'cy="{y + 8:.1f}" r="4.5" fill="#c0392b"/>')
    parts.append("</svg>\n")
    return "\n".join(parts)
