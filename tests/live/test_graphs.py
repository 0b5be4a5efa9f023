"""Swaps of random trees: a fresh process that imports the new version is the judge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from tests.live.conftest import Run, put
from tests.live.graphs import Graph

#: tells what all modules of a tree are worth, after g.main is imported
TELL = """
def tell(modules):
    return {n: [m.value(), m.late()] for n, m in modules.items() if hasattr(m, 'late')}
def ours():
    return {n: m for n, m in sys.modules.items() if n == 'g' or n.startswith('g.')}
def shown(values):
    return json.dumps({n: repr(v) for n, v in sorted(values.items())})
"""
LIVE = f"""
import json
{TELL}
import g.main
seen = []
for number in range(len(HASHES)):
    if number:
        modules = to(number).modules
        again = set(modules)
        gone = {{n for n, m in before.items() if sys.modules.get(n) is not m}}
        assert gone <= again, (gone, again)
    before = ours()
    seen.append((before, tell(before)))
    print(shown(seen[-1][1]))
    print(json.dumps(sorted(again) if number else []))
    for modules, values in seen:
        found = {{n: [m.value(), m.late()] for n, m in modules.items() if n in values}}
        wrong = {{n: (found[n], values[n]) for n in values if found[n] != values[n]}}
        assert not wrong, (number, wrong)
"""
FRESH = f"""
import json, os, sys
import lazyimport
{TELL}
for hash in sys.argv[2:]:
    if not os.fork():
        lazyimport.install(hash, cache_dir=sys.argv[1])
        import g.main
        print(shown(tell(ours())), flush=True)
        os._exit(0)
    assert not os.wait()[1]
"""


@pytest.mark.parametrize("seed", [0, 4, 8, 10, 17])
def test_values_are_those_of_a_fresh_process(
    run: Run, tmp_path: Path, seed: int
) -> None:
    """And what has nothing to do with a change stays the very same."""
    graph = Graph(seed)
    versions, users = [graph.files()], [set[str]()]
    for _ in range(4):
        before = dict(graph.versions)
        could = {name: graph.users_of({name}) for name in graph.names}
        graph.change()
        changed = {name for name in graph.names if graph.versions[name] != before[name]}
        users.append(graph.users_of(changed).union(*(could[n] for n in changed)))
        versions.append(graph.files())
    told = run(LIVE, *versions)
    cache = NodeCache(str(tmp_path / "cache"))
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH, cache.path, *(put(cache, v) for v in versions)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.splitlines()

    assert [json.loads(line) for line in told[::2]] == [*map(json.loads, fresh)]
    again = [set(json.loads(line)) for line in told[1::2]]
    assert [each - may for each, may in zip(again, users, strict=True)] == [set()] * 5
