"""The plot: requests/s of each column with 64 connections, as in the summary, on a scale of tens."""
import html
import math

from report import number

LEFT, WIDTH, BAR, GAP, TOP = 290, 560, 13, 12, 70
COLOURS = {"user": "#0c4b33", "group": "#44b78b"}


def text(x, y, words, size=13, anchor="start", colour="#222"):
    words = html.escape(words)
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def svg(columns, figures, machine):
    rates = {
        (column.key, rule): figures.of("rate", column.key, rule, column.who, 64) for column in columns for rule in column.rules
    }
    decades = math.ceil(math.log10(max(found for found in rates.values() if found)))
    bars, top = [], TOP
    for column in columns:
        bars.append(text(LEFT - 10, top + BAR * len(column.rules) / 2 + 5, column.label, anchor="end"))
        for rule in column.rules:
            if found := rates[column.key, rule]:
                width = max(1.0, WIDTH * math.log10(max(1.0, found)) / decades)
                bars.append(rectangle(LEFT, top, width, BAR - 1, COLOURS[rule]))
                bars.append(text(LEFT + width + 6, top + BAR - 3, number(found), 11))
            top += BAR
        top += GAP
    ticks = []
    for power in range(decades + 1):
        x = LEFT + WIDTH * power / decades
        ticks.append(f'<line x1="{x:.0f}" y1="60" x2="{x:.0f}" y2="{top}" stroke="#ddd"/>')
        ticks.append(text(x, top + 16, f"{10 ** power:,}", 11, "middle", "#555"))
    legend = [text(LEFT, 26, "Requests/s, 64 keep-alive connections (each step is ten times)", 15)]
    for place, (rule, words) in enumerate((("user", "a user"), ("group", "a group"))):
        legend += [rectangle(LEFT + 110 * place, 40, 12, 12, COLOURS[rule]), text(LEFT + 18 + 110 * place, 51, words, 12)]
    below = f"{machine.split(';')[0]}; {figures.rounds} round{'s' * (figures.rounds > 1)} in turn, medians"
    height = top + 46
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *legend, *ticks, *bars, text(20, height - 8, below, 11, colour="#555"), "</svg>", "",
    ])
