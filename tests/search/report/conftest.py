"""A run whose every text is an attack on its report."""

import numpy as np
import pytest

from optc.search.config import checked
from optc.search.runs.run import create
from optc.search.runs.store import Individual, Rejected
from optc.search.training.evaluate import Job, Outcome

ATTACK = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"\'&'
RULE = """\
## {doc}
optimizer Bred
param lr = 1e-3 in (0, inf)
param a1 = {a} ~ uniform(-5, 5)
param a2 = -0.5 ~ uniform(-5, 5)
state m = 0
m <- 0.9*m + 0.1*g
update = a1*m + a2*sign(g)
"""


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    """A run whose every text that others may write is an attack on the page."""
    settings = {
        "search": {"space": "expression", "population": 2, "elites": 0, "generations": 9},
        "training": {"seeds": 1},
    }
    store = create(checked(settings, "test"), tmp_path_factory.mktemp("hostile") / "run")
    texts = [RULE.format(doc=ATTACK, a=a) for a in (1, 2)]
    born = [
        Individual(f"0.{k}", 0, k, f"key{k}", text, (f"founder {ATTACK}",), (), None) for k, text in enumerate(texts)
    ]
    store.born(born, [Rejected("0.0", 0, texts[0], ATTACK)])
    for individual in born:
        outcome = Outcome(0.5, 0.5, np.ones(3, np.float32), 1.0)
        store.record([(Job(individual.key, individual.text, "digits", 0, 500), outcome)])
        store.judge([(individual.key, 0, 0.5)])
    store.generation(0, [individual.id for individual in born])
    yield store
    store.close()
