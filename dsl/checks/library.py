"""What `use` brings: functions of other files, and rules that `applies … otherwise` may fall back on.

Files are found beside the user's own file or below it, and in what optc ships; never above, never in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from ..diagnostics import Diagnostic, OptError, Span
from ..meant import nearest
from ..rule import Rule
from ..text.expressions import Call
from ..text.syntax import Def, Use

Report = Callable[[Diagnostic], None]
GRAMMAR = Path(__file__).parents[2] / "grammar"
_OPEN: ContextVar[tuple[Path, ...]] = ContextVar("_OPEN", default=())


@dataclass
class Library:
    """The functions and rules that a file's `use` lines bring, by the names they go by there."""

    functions: dict[str, Def] = field(default_factory=dict)
    rules: dict[str, Path] = field(default_factory=dict)

    def rule(self, call: Call, report: Report) -> Rule | None:
        """The rule that `otherwise name(...)` names."""
        from ..load import rule_from_file

        path = self.rules.get(call.function)
        if path is None:
            meant = nearest(call.function, self.rules)
            shipped = (GRAMMAR / "zoo" / f"{call.function}.opt").exists()
            help = f"did you mean `{meant}`?" if meant else f"bring it in: `use zoo.{call.function}`" if shipped else ""
            report(Diagnostic("E107", f"unknown rule `{call.function}`", call.function_span, help=help))
            return None
        if call.args:
            report(Diagnostic("E201", "a rule's hyperparameters are set by name", call.span, help="`adamw(lr = 3e-4)`"))
        try:
            with _opened(path):
                return rule_from_file(path)
        except _CircleError:
            report(Diagnostic("E107", f"`{call.function}` falls back on itself", call.span))
        except OptError as error:
            report(error.diagnostics[0])
        return None


class _CircleError(Exception):
    """A file that uses itself, by way of others."""


class _opened:  # noqa: N801 - reads as a statement
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def __enter__(self) -> None:
        if self.path in _OPEN.get():
            raise _CircleError
        self.token = _OPEN.set((*_OPEN.get(), self.path))

    def __exit__(self, *exc: object) -> None:
        _OPEN.reset(self.token)


def bring(uses: Iterable[Use], base: Path | None, report: Report) -> Library:
    """Everything that the `use` lines of a file bring. `base` is the file's folder."""
    library = Library()
    for use in uses:
        path = _find(use, base, report)
        if path is None:
            continue
        if not use.names:
            library.rules[path.stem] = path
        try:
            with _opened(path):
                _take(use, path, library, report)
        except _CircleError:
            report(Diagnostic("E107", f"`{use.path}` uses this file, which uses it", use.span, help="break the circle"))
        except OptError as error:
            report(error.diagnostics[0])
    return library


def _take(use: Use, path: Path, library: Library, report: Report) -> None:
    from ..load import file_at

    file = file_at(path)
    nested = bring((i for i in file.items if isinstance(i, Use)), path.parent, report)
    found = {**nested.functions, **{d.name: d for d in file.items if isinstance(d, Def)}}
    for name in use.names:
        if name not in found:
            meant = nearest(name, found)
            help = f"did you mean `{meant}`?" if meant else f"it has {', '.join(found) or 'no functions'}"
            report(Diagnostic("E107", f"`{use.path}` has no function `{name}`", use.span, help=help))
    # All of a file's functions come along, since those that are named may call the others.
    library.functions.update(found)


def _find(use: Use, base: Path | None, report: Report) -> Path | None:
    if not use.quoted:
        path = GRAMMAR.joinpath(*use.path.split(".")).with_suffix(".opt")
        if path.is_file() and use.path.split(".")[0] in ("zoo", "std"):
            return path
        known = [
            f"{p.parent.name}.{p.stem}" for folder in ("zoo", "std") for p in sorted((GRAMMAR / folder).glob("*.opt"))
        ]
        meant = nearest(use.path, known)
        help = f"did you mean `{meant}`?" if meant else 'a file of your own is in quotes: `use "./lib.opt"`'
        report(Diagnostic("E107", f"optc ships no `{use.path}`", use.path_span, help=help))
        return None
    if base is None:
        report(Diagnostic("E107", "a rule that is not in a file cannot use files", use.path_span))
        return None
    return _beside(use, base.resolve(), use.path_span, report)


def _beside(use: Use, base: Path, span: Span, report: Report) -> Path | None:
    try:
        path = (base / use.path).resolve()
        inside = path.is_relative_to(base) and not Path(use.path).is_absolute()
        there = path.is_file()
    except (OSError, ValueError):
        inside, there, path = True, False, base
    if not inside:
        help = "copy it beside this file, or into a folder below"
        report(Diagnostic("E107", f"`{use.path}` is outside this file's folder", span, help=help))
        return None
    if not there:
        report(Diagnostic("E107", f"there is no file `{use.path}` here", span, help=f"looked for {path}"))
        return None
    return path
