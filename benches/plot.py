"""The plot: requests/s of each column with 64 connections and one user, on a scale of tens."""
import html
import math

from report import number

LEFT, WIDTH, BAR, GAP = 290, 560, 13, 12
COLOURS = {"user": "#0c4b33", "group": "#44b78b"}


def svg(columns, figures, machine):
    bars, top = [], 70
    rates = {
        (column.key, rule): figures.of("rate", column.key, rule, "one", 64)
        or figures.of("rate", column.key, rule, "crowd", 64)
        or figures.of("rate", column.key, rule, "one", 1)
        for column in columns for rule in column.rules
    }
    decades = math.ceil(math.log10(max(rate for rate in rates.values() if rate)))

    def width(rate):
        return WIDTH * max(0.0, math.log10(rate)) / decades

    def text(x, y, words, size=13, anchor="start", colour="#222"):
        return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{html.escape(words)}</text>'

    for column in columns:
        middle = top + BAR * len(column.rules) / 2 + 5
        bars.append(text(LEFT - 10, middle, column.label, anchor="end"))
        for rule in column.rules:
            rate = rates[column.key, rule]
            if rate:
                bars.append(
                    f'<rect x="{LEFT}" y="{top}" width="{max(1.0, width(rate)):.1f}" height="{BAR - 1}" fill="{COLOURS[rule]}"/>'
                )
                bars.append(text(LEFT + width(rate) + 6, top + BAR - 3, number(rate), 11))
            top += BAR
        top += GAP
    ticks = []
    for power in range(decades + 1):
        x = LEFT + WIDTH * power / decades
        ticks.append(f'<line x1="{x:.0f}" y1="60" x2="{x:.0f}" y2="{top}" stroke="#ddd"/>')
        ticks.append(text(x, top + 16, f"{10 ** power:,}", 11, "middle", "#555"))
    legend = "".join(
        f'<rect x="{LEFT + 110 * n}" y="40" width="12" height="12" fill="{COLOURS[rule]}"/>{text(LEFT + 18 + 110 * n, 51, words, 12)}'
        for n, (rule, words) in enumerate((("user", "a user"), ("group", "a group")))
    )
    height = top + 46
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{text(LEFT, 26, "Requests/s, 64 keep-alive connections (each step is ten times)", 15)}\n'
        f"{legend}\n" + "\n".join([*ticks, *bars])
        + f"\n{text(20, height - 8, machine.split(';')[0] + f', medians of {figures.rounds} round(s)', 11, colour='#555')}\n</svg>\n"
    )
