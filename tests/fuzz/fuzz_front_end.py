"""Coverage-guided fuzzing of the front end, by hand: `python tests/fuzz/fuzz_front_end.py [options] FOLDER...`

Needs atheris, which the project does not. The first FOLDER takes what reaches new code; `corpus`, beside this file, is
where to start from and is replayed by the suite. Options are libFuzzer's: `-max_total_time=300 -timeout=20`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=["optc.dsl", "optc.compiler"]):
    from examine import examine


def main() -> None:
    atheris.Setup(sys.argv, examine)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
