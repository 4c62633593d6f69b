"""Numbers to SVG elements: escaped tags, linear scales with round ticks, axes, labels that keep apart; knows no run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape

GAP = 15.0
"""The least distance between two direct labels' baselines, in pixels."""


def tag(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """An element. `class_` is its class, `_` in names is `-`; what is None is left out; every text is escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{''.join(map(escape, children))}</{name}>")


def _short(value: object) -> object:
    """Coordinates to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def group(children: Iterable[Markup], **attributes: object) -> Markup:
    return tag("g", *children, **attributes)


def text(x: float, y: float, words: str, class_: str | None = None, anchor: str | None = None) -> Markup:
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str | None = None) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str | None = None, closed: bool = False) -> Markup:
    drawn = "L".join(f"{_short(float(x))} {_short(float(y))}" for x, y in points)
    return tag("path", d=f"M{drawn}{'Z' if closed else ''}", class_=class_)


def mark(shape: Markup, said: str, first: bool) -> Markup:
    """A shape that hover and keyboard reach, with what is said of it; Tab stops at a chart's first, arrows go on."""
    return tag("g", shape, class_="mark", role="img", tabindex=0 if first else -1, aria_label=said)


def marks(shapes: Iterable[tuple[Markup, str]]) -> Markup:
    """All the marks of a chart, in the order in which the arrow keys go through them."""
    return group((mark(shape, said, k == 0) for k, (shape, said) in enumerate(shapes)), class_="marks")


@dataclass(frozen=True)
class Scale:
    """Values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (self.end - self.start) * ((value - self.low) / span if span else 0.5)

    def within(self, value: float) -> float:
        """The pixel of a value, or of the end that it lies beyond."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, about: int) -> list[float]:
        """Round values inside the scale, `about` so many."""
        step = _round_step((self.high - self.low) / max(1, about))
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def scale(values: Iterable[float], start: float, end: float, margin: float = 0.05) -> Scale:
    """A scale that all the values lie on, with some air at both ends."""
    known = list(values)
    low, high = min(known), max(known)
    air = margin * (high - low) or max(abs(high), 1.0) * margin
    return Scale(low - air, high + air, start, end)


def _round_step(step: float) -> float:
    if step <= 0:
        return 1.0
    power = 10.0 ** floor(log10(step))
    return float(next(k for k in (1, 2, 5, 10) if k * power >= step * 0.999) * power)


def whole_ticks(at: Scale, about: int) -> list[float]:
    """Ticks for what can only be counted."""
    return [tick for tick in at.ticks(about) if abs(tick - round(tick)) < 1e-9]


def number(value: float) -> str:
    """A tick's text: no trailing zeros, no minus zero."""
    return f"{value + 0.0:.6g}"


def apart(wanted: Sequence[float], low: float, high: float, gap: float = GAP) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` from each other and within bounds if they fit."""
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    placed = [0.0] * len(wanted)
    floor_ = low
    for k in order:
        placed[k] = max(wanted[k], floor_)
        floor_ = placed[k] + gap
    ceiling = high
    for k in reversed(order):
        placed[k] = min(placed[k], ceiling)
        ceiling = placed[k] - gap
    return placed


@dataclass(frozen=True)
class Frame:
    """The drawing area of a chart: its size and the margins that axes and labels take, in pixels."""

    width: float
    height: float
    left: float = 46.0
    right: float = 12.0
    top: float = 12.0
    bottom: float = 40.0

    @property
    def x(self) -> tuple[float, float]:
        return self.left, self.width - self.right

    @property
    def y(self) -> tuple[float, float]:
        """From the bottom up, as values grow."""
        return self.height - self.bottom, self.top

    def svg(self, title: str, parts: Iterable[Markup], class_: str) -> Markup:
        """The chart. Its parts are drawn in order; a screen reader hears the title, then the marks."""
        box = f"0 0 {self.width:g} {self.height:g}"
        return tag("svg", *parts, viewBox=box, role="group", aria_label=title, class_=f"chart {class_}")

    def axes(self, x: Scale, y: Scale, x_title: str, y_title: str, whole_x: bool = True) -> Markup:
        """Light horizontal rules with their values, values below, and what both count."""
        across = max(3, int((self.width - self.left - self.right) / 80))
        ticks = whole_ticks(x, across) if whole_x else x.ticks(across)
        low, right = self.height - self.bottom, self.width - self.right
        upright = max(2, int((low - self.top) / 45))
        parts = [line(self.left, y(v), right, y(v), "rule") for v in y.ticks(upright)]
        parts += [text(self.left - 8, y(v) + 4, number(v), "tick", "end") for v in y.ticks(upright)]
        parts += [text(x(v), low + 18, number(v), "tick", "middle") for v in ticks]
        parts += [text(right, low + 36, x_title, "title", "end")] if x_title else []
        parts += [text(0, self.top - 8, y_title, "title")] if y_title else []
        return group(parts, class_="axes", aria_hidden="true")
