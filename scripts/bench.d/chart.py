"""Stacked bars as a small SVG."""

from html import escape

COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b0b0b0"]
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 360, 60, 70, 50


def stacked_bars(title: str, labels: list[str], series: dict[str, list[float]], unit: str) -> str:
    """One bar a label; `series` says what each is made of, from the bottom up."""
    totals = [sum(parts) for parts in zip(*series.values())]
    step = nice_step(max(totals) / 5)
    top = step * (int(max(totals) / step) + 1)
    plot = HEIGHT - TOP - BOTTOM
    slot = (WIDTH - LEFT - 20) / len(labels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for index, (name, colour) in enumerate(zip(series, COLOURS)):
        x = LEFT + 145 * index
        parts.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="48">{escape(name)}</text>')
    for tick in range(round(top / step) + 1):
        y = TOP + plot * (1 - tick * step / top)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick * step:g} {unit}</text>')
    for index, label in enumerate(labels):
        x, y = LEFT + slot * (index + 0.25), TOP + plot
        for values, colour in zip(series.values(), COLOURS):
            height = plot * values[index] / top
            y -= height
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{slot / 2:.1f}" height="{height:.1f}" fill="{colour}"/>')
        middle = x + slot / 4
        parts.append(f'<text x="{middle:.1f}" y="{y - 5:.1f}" text-anchor="middle">{totals[index]:.2f} {unit}</text>')
        parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 28}" text-anchor="middle">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def nice_step(about: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 1e-6
    while True:
        for factor in (1, 2, 5):
            if factor * power >= about:
                return round(factor * power, 6)
        power *= 10
