"""Shares the tests out among processes, so that they take the time of a few cores and not of one.

Each worker has a database, caches, ports and a sandbox of its own. Tests that share something
slow, by a fixture that lives for a module or a class, stay together in one worker, as do those
with the same mark `xdist_group`. Any other test is a group with its cases. What takes longest
begins first. So a new test finds its place without a word about it here.

Some tests wait, for a time limit or for another process, so there are two workers more than cores.

Files that are named on the command line run in one process, without workers to wait for; so does
everything with `-n0`, and where pytest-xdist is not installed.
"""

import importlib
import json
import os
import tempfile
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

from tests.effort import SAMPLE, sample

try:
    from xdist.scheduler import LoadScopeScheduling
except ImportError:
    LoadScopeScheduling = object

MOST_WORKERS = 6  # a worker is a Django with servers, a browser and a fleet of its own
SLOW = 50  # how much longer a test with processes takes, about

TOGETHER = {"class", "module", "package"}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    # Here and not in `addopts`, which fail where pytest-xdist is not installed.
    named = any(not Path(argument.partition("::")[0]).is_dir() for argument in config.args)
    compile_elsewhere(config)
    unset = getattr(config.option, "numprocesses", 0) is None and config.option.dist == "no"
    if unset and not named and not hasattr(config, "workerinput") and not config.option.usepdb:
        config.option.numprocesses = min(cores() + 2, MOST_WORKERS)
        config.option.dist = "loadgroup"
        config.option.loadscopereorder = False  # the order is that of `sort_groups`


def compile_elsewhere(config):
    """Let the processes of the tests compile each module once, also where nothing is to be written.

    What they compile goes into a folder of its own, and with the tests.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and "PYTHONPYCACHEPREFIX" not in os.environ:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


def cores():
    """Return how many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Let each worker import a share of the tests first, and compile it for the others."""
    if worker := getattr(session.config, "workerinput", None):
        root = session.config.rootpath
        paths = sorted(root.glob("tests/**/test_*.py"))
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        for path in paths[number * len(paths) // count :][: len(paths) // count + 1]:
            # What is wrong with it is said when it is collected.
            with suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    sort_cases(items)
    yield  # pytest puts those together that share a fixture with a value
    if SAMPLE:
        keep_a_sample(config, items)
    if hasattr(config, "workerinput"):
        groups = {item.nodeid: group_of(item) for item in items}
        sort_groups(items, groups)
        Path(config.workerinput["groups"]).write_text(json.dumps(groups), encoding="utf-8")


def sort_groups(items, groups):
    """Put the group that takes longest first."""
    takes = Counter()
    for item in items:
        is_slow = item.get_closest_marker("standalone") or item.get_closest_marker("package")
        takes[groups[item.nodeid]] += SLOW if is_slow else 1
    items.sort(key=lambda item: -takes[groups[item.nodeid]])


def sort_cases(items):
    """Put the cases of each test in order: those from a set come otherwise in each worker."""
    first = {}
    for number, item in enumerate(items):
        first.setdefault(name_of(item), number)
    items.sort(key=lambda item: (first[name_of(item)], item.nodeid))


def keep_a_sample(config, items):
    """Keep one case of each test."""
    cases = defaultdict(list)
    for item in items:
        cases[name_of(item)].append(item)
    kept = {sample(each) for each in cases.values()}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def name_of(item):
    """Return the id of a test without its case."""
    return item.nodeid.partition("[")[0]


def group_of(item):
    """Return the name of the group that a test is in."""
    if mark := item.get_closest_marker("xdist_group"):
        return mark.args[0]
    fixtures = getattr(item, "_fixtureinfo", None)
    shares = any(
        # Those of plugins belong to no place, and are in every test.
        definitions[-1].scope in TOGETHER and definitions[-1].baseid
        for definitions in (fixtures.name2fixturedefs.values() if fixtures else ())
    )
    return item.nodeid.partition("::")[0] if shares else name_of(item)


# `--dist=loadgroup` of pytest-xdist 3.8 writes the group into the id of a test, and pytest 9.2 lets
# it no more. Here a worker writes the groups of what it has collected into a file.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    if not hasattr(node.config, "groups_folder"):
        node.config.groups_folder = tempfile.TemporaryDirectory()
        node.config.add_cleanup(node.config.groups_folder.cleanup)
    node.workerinput["groups"] = f"{node.config.groups_folder.name}/{node.gateway.id}.json"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return GroupScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


class GroupScheduling(LoadScopeScheduling):
    """Gives each worker a group at a time."""

    def __init__(self, config, log):
        super().__init__(config, log)
        self.groups = {}

    def add_node_collection(self, node, collection):
        path = Path(node.workerinput["groups"])
        self.groups |= json.loads(path.read_text(encoding="utf-8"))
        super().add_node_collection(node, collection)

    def _split_scope(self, nodeid):
        return self.groups[nodeid]
