"""Rule → an explanation: its formulas, what it keeps and moves in memory, what can be proven of it; as text or data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from ..rule import Param, Rule
from .properties import Property, properties
from .traffic import BANDWIDTH, Traffic, bytes_per_second, traffic
from .typeset import typeset

BILLION = 1e9


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that `optc explain` shows. `formulas` by style: "unicode", "latex", "mathml"."""

    name: str
    doc: str
    params: tuple[Param, ...]
    formulas: dict[str, str]
    traffic: Traffic
    properties: tuple[Property, ...]

    def text(self, bandwidth: str = "H200") -> str:
        """For a terminal. `bandwidth` is what `traffic.bytes_per_second` takes."""
        return "\n\n".join(
            part for part in (self._head(), self.formulas["unicode"], self._costs(bandwidth), self._said()) if part
        )

    def html(self, bandwidth: str = "H200") -> str:
        """A fragment of HTML whose formulas are MathML, for a page that styles it."""
        rows = "".join(
            f"<tr><th>{escape(p.name)}</th><td>{p.answer}</td><td>{escape(p.text)}</td></tr>" for p in self.properties
        )
        return (
            f"<section>\n<h2>{escape(self.name)}</h2>\n<p>{escape(self.doc)}</p>\n{self.formulas['mathml']}\n"
            f"<pre>{escape(self._costs(bandwidth))}</pre>\n<table>{rows}</table>\n</section>"
        )

    def data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        t = self.traffic
        return {
            "name": self.name,
            "doc": self.doc,
            "params": [_param_data(p) for p in self.params],
            "formulas": self.formulas,
            "traffic": {
                **asdict(t),
                "bytes_moved": t.moved,
                "state_bytes_total": sum(t.state_bytes.values()),
                "floor_seconds_per_billion": {name: t.seconds(BILLION, b) for name, b in BANDWIDTH.items()},
            },
            "properties": [asdict(p) for p in self.properties],
        }

    def _head(self) -> str:
        return f"{self.name}\n{self.doc}" if self.doc else self.name

    def _costs(self, bandwidth: str) -> str:
        t = self.traffic
        kept = ", ".join(f"{name} {size:g}" for name, size in t.state_bytes.items()) or "none"
        less = "".join(f"; {name} one value per {scope}" for name, scope in t.smaller.items())
        ran = ", ".join(f"{count} {op}" for op, count in t.operations.items()) or "none"
        speed = bytes_per_second(bandwidth)
        device = f"{bandwidth} ({speed / 1e12:g} TB/s)" if bandwidth in BANDWIDTH else f"{speed / 1e12:g} TB/s"
        rows = [
            ("state", f"{sum(t.state_bytes.values()):g} bytes per parameter ({kept}{less})"),
            ("traffic", f"{t.moved:g} bytes per parameter: {t.read:g} read, {t.written:g} written, {_times(t.passes)}"),
            ("operations", f"{sum(t.operations.values())} per element ({ran})"),
            ("floor", f"{t.seconds(BILLION, speed) * 1e3:.2f} ms a step for 1e9 parameters on {device}"),
        ]
        rows += [("matrices", ", ".join(t.matrices) + ": not counted above")] if t.matrices else []
        return "\n".join(f"{name:<10}  {text}" for name, text in rows)

    def _said(self) -> str:
        width = max(len(p.name) for p in self.properties)
        return "\n".join(f"{p.name:<{width}}  {p.answer:<7}  {p.text}" for p in self.properties)


def _param_data(p: Param) -> dict[str, Any]:
    interval = None if p.interval is None else str(p.interval)
    return {"name": p.name, "type": p.type, "default": p.default, "interval": interval, "doc": p.doc}


def _times(passes: int) -> str:
    return "one pass" if passes == 1 else f"{passes} passes"


def explain(rule: Rule, parameter_bytes: float = 4.0) -> Explanation:
    """What a rule does, costs and promises, for parameters of so many bytes each: 4 for float32, 2 for bfloat16."""
    styles = ("unicode", "latex", "mathml")
    return Explanation(
        name=rule.name,
        doc=rule.doc,
        params=rule.params,
        formulas={style: typeset(rule, style) for style in styles},
        traffic=traffic(rule, parameter_bytes),
        properties=properties(rule),
    )
