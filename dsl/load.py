"""Files, texts and names of the zoo to rules; the one place that reads `.opt` bytes."""

from __future__ import annotations

from pathlib import Path

from .checks.check import check
from .diagnostics import Diagnostic, OptError, all_of
from .meant import nearest
from .rule import Rule
from .text.parser import parse
from .text.syntax import File
from .text.tokens import MAX_BYTES

ZOO = Path(__file__).parent.parent / "grammar" / "zoo"


def rule_from_text(text: str, name: str = "rule.opt") -> Rule:
    """The rule that a text, short form or long, stands for. `name` is what messages call it. Raises OptError."""
    return check(parse(text, name))


def rule_from_file(path: str | Path) -> Rule:
    """The rule in a file. Raises OptError, also where the file cannot be read."""
    return check(file_at(path), Path(path).parent)


def zoo(name: str) -> Rule:
    """A rule that optc ships, by the name of its file. Raises OptError for an unknown one."""
    path = ZOO / f"{name}.opt"
    if not name.isidentifier() or not path.is_file():
        meant = nearest(name, zoo_names())
        help = f"did you mean `{meant}`?" if meant else f"it has {', '.join(zoo_names())}"
        raise OptError(Diagnostic("E006", f"the zoo has no `{name}`", all_of(name), help=help))
    return rule_from_file(path)


def zoo_names() -> list[str]:
    return sorted(p.stem for p in ZOO.glob("*.opt"))


def file_at(path: str | Path) -> File:
    """The parse tree of a file. Raises OptError."""
    return parse(decode(read_bytes(path), str(path)), str(path))


def read_bytes(path: str | Path) -> bytes:
    """At most one byte more than a rule may have: enough to refuse the rest. Raises OptError."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptError(Diagnostic("E006", f"cannot read {path}: {reason.lower()}", all_of(str(path)))) from None


def decode(data: bytes, name: str) -> str:
    """UTF-8 bytes as text, line ends as newlines. Raises OptError with the offset of the first byte that is not."""
    for mark, encoding in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if data.startswith(mark):
            help = "save it as UTF-8"
            raise OptError(Diagnostic("E005", f"{name} is {encoding} text (byte 0)", all_of(name), help=help))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES or error.start < MAX_BYTES - 3:
            message = f"{name} is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}"
            raise OptError(Diagnostic("E005", message, all_of(name), help="save it as UTF-8")) from None
        text = data.decode("utf-8", "ignore")
    return text.replace("\r\n", "\n").replace("\r", "\n")
