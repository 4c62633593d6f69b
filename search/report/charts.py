"""A run's findings to charts: SVG whose every mark says, to hover, focus and screen reader, what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from ..training.fitness import DIVERGED
from .ancestry import Ancestor, Ancestry
from .drawing import Frame, Scale, apart, group, line, marks, path, scale, tag, text
from .findings import Scored, Seeds, Shares, Spread

WIDE, NARROW = 720.0, 340.0
"""Every chart is drawn for a desk and for a phone; the page shows the one that fits."""
BELOW = 0.25
"""The share of the poorest rules that the Pareto chart draws on its lower edge."""
ROW, LAYER, LETTER = 22.0, 46.0, 6.5


def is_narrow(width: float) -> bool:
    return width < (WIDE + NARROW) / 2


def plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- fitness over generations


def fitness_chart(spreads: Sequence[Spread], width: float) -> Markup:
    """The best and the median of every generation as lines, the middle half as a band."""
    frame = Frame(width, 250 if is_narrow(width) else 300, right=62, top=26)
    x = scale(range(len(spreads)), *frame.x, margin=0.02)
    seen = [v for s in spreads for v in (s.best, s.median, s.high) if v > DIVERGED]
    y = scale(seen, *frame.y)
    places = [x(k) for k in range(len(spreads))]
    drawn = {
        name: [(px, y.within(getattr(s, name))) for px, s in zip(places, spreads, strict=True)]
        for name in ("best", "median", "low", "high")
    }
    band = path([*drawn["high"], *reversed(drawn["low"])], "band", closed=True)
    lines = [path(drawn["median"], "median"), path(drawn["best"], "best")]
    parts = [frame.axes(x, y, "generation", "fitness"), band, *lines, _ends(drawn, frame)]
    points = [
        (_column(px, drawn["best"][k][1], frame, len(spreads)), _said(k, spreads[k])) for k, px in enumerate(places)
    ]
    return frame.svg("Fitness over generations", [*parts, marks(points)], "fitness")


def _ends(drawn: dict[str, list[tuple[float, float]]], frame: Frame) -> Markup:
    """Each line's name beside its last point."""
    names = {"best": "best", "median": "median"}
    middle = (drawn["low"][-1][1] + drawn["high"][-1][1]) / 2
    wanted = [drawn[name][-1][1] for name in names]
    places = apart(wanted, frame.top, frame.height - frame.bottom)
    at = frame.width - frame.right + 10
    labels = [text(at, y + 4, name, f"label {name}-label") for name, y in zip(names, places, strict=True)]
    if abs(middle - places[-1]) > 16:
        labels.append(text(at, middle + 4, "half", "label"))
    return group(labels, aria_hidden="true")


def _column(x: float, y: float, frame: Frame, count: int) -> Markup:
    """A generation's dot, with all the height above and below it to point at."""
    reach = (frame.x[1] - frame.x[0]) / max(1, count)
    hit = tag(
        "rect", x=x - reach / 2, y=frame.top, width=reach, height=frame.height - frame.bottom - frame.top, class_="hit"
    )
    return group([hit, tag("circle", cx=x, cy=y, r=3.5, class_="dot best-dot")])


def _said(number: int, s: Spread) -> str:
    failed = f"; {s.failed} of {s.members} failed" if s.failed else ""
    return (
        f"Generation {number}: best {s.best:.4f}, median {s.median:.4f}, "
        f"middle half {s.low:.4f} to {s.high:.4f}{failed}"
    )


# ---------------------------------------------------------------- fitness against complexity


def pareto_chart(scored: Sequence[Scored], best: Sequence[Scored], width: float) -> Markup:
    """Every rule as a dot, shaded by its state memory; the front as steps with its rules to focus."""
    frame = Frame(width, 280 if is_narrow(width) else 340, top=26, right=16)
    x = scale([s.complexity for s in scored], *frame.x)
    ordered = sorted(s.fitness for s in scored)
    floor = min(ordered[int(BELOW * len(ordered))], best[-1].fitness - 1e-6)
    y = scale([floor, ordered[-1]], *frame.y, margin=0.08)
    sizes = sorted({s.bytes for s in scored})
    dots = [_dot(s, x, y, sizes, 3.5) for s in scored if s not in best]
    points = [(_dot(s, x, y, sizes, 6), said_of(s)) for s in best]
    axes = frame.axes(x, y, "complexity: names, numbers and operators", "fitness")
    return frame.svg(
        "Fitness against complexity",
        [axes, group(dots, class_="crowd", aria_hidden="true"), _steps(best, x, y), marks(points)],
        "pareto",
    )


def _dot(s: Scored, x: Scale, y: Scale, sizes: Sequence[float], radius: float) -> Markup:
    shade = f"m{min(sizes.index(s.bytes), 3)}"
    beyond = " beyond" if s.fitness < y.low else ""
    return tag("circle", cx=x(s.complexity), cy=y.within(s.fitness), r=radius, class_=f"dot {shade}{beyond}")


def _steps(best: Sequence[Scored], x: Scale, y: Scale) -> Markup:
    """Fitness that a complexity can buy: level between the rules of the front."""
    points: list[tuple[float, float]] = []
    for s in best:
        points += [(x(s.complexity), points[-1][1])] if points else []
        points.append((x(s.complexity), y.within(s.fitness)))
    return path([*points, (x.end, points[-1][1])], "front")


def said_of(s: Scored) -> str:
    return (
        f"Fitness {s.fitness:.4f}, complexity {s.complexity}, {s.bytes:g} bytes of state a parameter, "
        f"rule {s.individual.id}: {s.formula}"
    )


# ---------------------------------------------------------------- the winner's family


def family_chart(tree: Ancestry, formulas: Mapping[str, str], width: float) -> Markup:
    """The winner on top, its ancestors below by generation; the line through the fitter parents is strong."""
    count = len(tree.generations)
    frame = Frame(width, 30 + LAYER * count, left=44, right=20, top=24, bottom=22)
    main = {a.individual.id for a in tree.members if a.main}
    edges = [
        _edge([_place(*stop, count, frame) for stop in d.places], d.parent in main and d.child in main)
        for d in tree.descents
    ]
    rows = [_layer(generation, k, count, frame) for k, generation in enumerate(tree.generations)]
    order = sorted(tree.members, key=lambda a: (-a.layer, a.slot))
    points = [
        (_node(a, _place(a.layer, a.slot, count, frame), _room(a, tree, frame)), _told(a, formulas)) for a in order
    ]
    parts = [group(rows, class_="axes", aria_hidden="true"), group(edges, aria_hidden="true"), marks(points)]
    return frame.svg("The winner's ancestors", parts, "family")


def _place(layer: int, slot: float, count: int, frame: Frame) -> tuple[float, float]:
    start, end = frame.x
    return start + slot * (end - start), frame.top + LAYER * (count - 1 - layer)


def _room(a: Ancestor, tree: Ancestry, frame: Frame) -> float:
    """How many pixels a node's label has before the next node or line."""
    stops = {slot for d in tree.descents for layer, slot in d.places if layer == a.layer}
    others = [slot for slot in stops if slot > a.slot]
    start, end = frame.x
    return (min(others, default=1.0) - a.slot) * (end - start) + (0 if others else frame.right)


def _edge(stops: Sequence[tuple[float, float]], strong: bool) -> Markup:
    """A smooth line that is upright at every stop."""
    x0, y0 = stops[0]
    curve = [f"M{x0:.1f} {y0:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(stops):
        half = (y1 + y2) / 2
        curve.append(f"C{x1:.1f} {half:.1f} {x2:.1f} {half:.1f} {x2:.1f} {y2:.1f}")
    return tag("path", d="".join(curve), class_="edge strong" if strong else "edge")


def _layer(generation: int, k: int, count: int, frame: Frame) -> Markup:
    y = frame.top + LAYER * (count - 1 - k)
    return group([line(frame.left, y, frame.width, y, "rule faint"), text(0, y + 4, f"gen {generation}", "tick")])


def _node(a: Ancestor, place: tuple[float, float], room: float) -> Markup:
    x, y = place
    name = a.individual.operators[0].removeprefix("founder ") if not a.individual.parents else a.individual.id
    circle = tag("circle", cx=x, cy=y, r=6.5 if a.main else 4.5, class_="dot node main" if a.main else "dot node")
    fits = len(name) * LETTER + 12 < room
    return group([circle, *([text(x + 11, y + 4, name, "label small")] if fits else [])])


def _told(a: Ancestor, formulas: Mapping[str, str]) -> str:
    i = a.individual
    score = "failed" if i.fitness is None or i.fitness <= DIVERGED else f"fitness {i.fitness:.4f}"
    origin = f"from {' and '.join(dict.fromkeys(i.parents))} by" if i.parents else ""
    return f"Rule {i.id}, {score}, {origin} {', '.join(i.operators)}: {formulas[i.id]}".replace(",  ", ", ")


# ---------------------------------------------------------------- what the populations are made of


def shares_chart(shares: Shares, width: float) -> Markup:
    """A column a generation, divided among the names; each name stands beside its part of the last."""
    frame = Frame(width, 260 if is_narrow(width) else 300, right=104, top=26)
    count = len(next(iter(shares.rows.values())))
    start, end = frame.x
    slot = (end - start) / count
    x, y = Scale(-0.5, count - 0.5, start, end), Scale(0, 1, *frame.y)
    axes = frame.axes(x, y, "generation", f"share of the population's {shares.kind}")
    points = [(_stack(shares, k, x(k), slot, y), _listed(shares, k)) for k in range(count)]
    return frame.svg("What the populations are made of", [axes, marks(points), _names(shares, frame, y)], "shares")


def _stack(shares: Shares, k: int, x: float, slot: float, y: Scale) -> Markup:
    gap = min(2.0, slot / 5)
    bars, below = [], 0.0
    for color, row in enumerate(shares.rows.values()):
        top = y(below + row[k])
        if row[k]:
            bars.append(
                tag(
                    "rect", x=x - slot / 2 + gap / 2, y=top, width=slot - gap, height=y(below) - top, class_=f"c{color}"
                )
            )
        below += row[k]
    return group(bars, class_="stack")


def _listed(shares: Shares, k: int) -> str:
    parts = [f"{name} {row[k]:.0%}" for name, row in shares.rows.items() if row[k] >= 0.005]
    return f"Generation {k}: {', '.join(parts) or 'nothing'}"


def _names(shares: Shares, frame: Frame, y: Scale) -> Markup:
    wanted, below = [], 0.0
    for row in shares.rows.values():
        wanted.append(y(below + row[-1] / 2))
        below += row[-1]
    places = apart(wanted[::-1], frame.top + 6, frame.height - frame.bottom - 4)[::-1]
    at = frame.width - frame.right + 8
    labels = [
        group(
            [tag("rect", x=at, y=py - 5, width=10, height=10, class_=f"c{color}"), text(at + 15, py + 4, name, "label")]
        )
        for color, (name, py) in enumerate(zip(shares.rows, places, strict=True))
    ]
    return group(labels, aria_hidden="true")


# ---------------------------------------------------------------- tasks and seeds


def seeds_chart(rows: Sequence[Seeds], width: float) -> Markup:
    """Task by task, a line for each rule: every seed a dot, the mean a tick, the 95% interval a bar."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    frame = Frame(width, 46 + len(rows) * ROW + len(tasks) * 30, left=96 if is_narrow(width) else 120, top=8)
    x = scale([v for row in rows for v in row.values if v > DIVERGED], *frame.x, margin=0.08)
    heads, points, y = [], [], frame.top
    for task in tasks:
        y += 20
        heads.append(text(0, y, task, "label task"))
        y += 10
        for row in (row for row in rows if row.task == task):
            y += ROW / 2
            heads.append(text(frame.left - 12, y + 4, row.rule, "label" if row.rule == "winner" else "tick", "end"))
            points.append((_interval(row, x, y), _spelled(row)))
            y += ROW / 2
    axis = [
        group([line(x(v), frame.top + 14, x(v), y + 6, "rule"), text(x(v), y + 22, f"{v:g}", "tick", "middle")])
        for v in x.ticks(4 if is_narrow(width) else 6)
    ]
    title = text(frame.width - frame.right, y + 38, "fitness", "title", "end")
    parts = [group([*axis, title, *heads], class_="axes", aria_hidden="true"), marks(points)]
    return frame.svg("Fitness by task and seed", parts, "seeds")


def _interval(row: Seeds, x: Scale, y: float) -> Markup:
    low, high = row.interval
    kind = "winner" if row.rule == "winner" else "rival"
    hit = tag("rect", x=x.start, y=y - ROW / 2, width=x.end - x.start, height=ROW, class_="hit")
    bar = line(x.within(low), y, x.within(high), y, f"interval {kind}")
    ends = [text(x.start - 4, y + 4, "‹", "arrow", "end")] if low < x.low else []
    ends += [text(x.end + 4, y + 4, "›", "arrow")] if high > x.high else []
    tick = line(x.within(row.mean), y - 7, x.within(row.mean), y + 7, f"mean {kind}")
    dots = [tag("circle", cx=x.within(v), cy=y, r=3.5, class_=f"dot {kind}") for v in row.values]
    return group([hit, bar, *ends, tick, *dots])


def _spelled(row: Seeds) -> str:
    low, high = row.interval
    each = ", ".join(f"{v:.4f}" for v in row.values)
    known = (
        f"95% interval {low:.4f} to {high:.4f} over {plural(len(row.values), 'seed')}"
        if len(row.values) > 1
        else "one seed"
    )
    return f"{row.rule} on {row.task}: mean {row.mean:.4f}, {known}: {each}"
