"""The package of the modules that `load` has made: they are in the cache's folder, and imported from there by name.

So what is pickled by one process is read by another, which need not have loaded the rule.
"""

from __future__ import annotations

from ..dsl.cache import cache_folder

__path__ = [str(cache_folder() / "modules")]
