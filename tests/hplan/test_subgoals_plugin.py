"""What TensorBoard's own server serves of the trees that were logged, by either of its loaders."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from torch.utils.tensorboard import SummaryWriter

from hplan.subgoal_tree import tree_json
from hplan.subgoals_plugin.blob import pack_tree
from hplan.tree_checks import Cause, Outcome
from hplan.tree_summary import tree_summary, tree_tag, write_tree
from tests.hplan.tensorboard_server import tensorboard, wait_for
from tests.hplan.trees import small_tree

NUM_STEPS, NUM_SCALARS, NUM_SCALARS_KEPT = 500, 20, 7
SAMPLES = f"--samples_per_plugin=scalars={NUM_SCALARS_KEPT}"
LOADERS = (pytest.param("--load_fast=auto", marks=pytest.mark.slow), "--load_fast=false")
RUN, SUITE = "rooms-L3-s0/tensorboard", "rooms"
MANY = tree_tag(small_tree(0), SUITE)
NO_CLASS = "subgoals/rooms/flat-l2/near/00001"
LAST = "subgoals/rooms/flat-l2/near/00002"
STATIC = Path(__file__).parents[2] / "hplan" / "subgoals_plugin" / "static"

# TensorBoard with the plugin, but without what it does to the flags.
SAMPLED = """
import sys
from tensorboard.plugins.core.core_plugin import CorePluginLoader
from tensorboard.program import TensorBoard
from hplan.subgoals_plugin.plugin import SubgoalsLoader

class Sampled(SubgoalsLoader):
    def fix_flags(self, flags):
        pass

board = TensorBoard([CorePluginLoader(), Sampled()])
board.configure(["tensorboard", *sys.argv[1:]])
sys.exit(board.main())
"""


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    writer = SummaryWriter(folder / RUN)
    for step in range(NUM_STEPS):
        write_tree(writer, MANY, small_tree(step), step)
    unclassed = tree_summary(NO_CLASS, pack_tree(tree_json(small_tree(0))))
    unclassed.value[0].metadata.ClearField("data_class")
    writer.file_writer.add_summary(unclassed, 0)
    for step in range(NUM_SCALARS):
        writer.add_scalar("loss", 1.0, step)
    write_tree(writer, LAST, small_tree(7), 7)  # when it is served, so is all before it
    writer.close()
    return folder


@pytest.fixture(scope="module", params=LOADERS)
def server(request, logdir):
    with tensorboard(logdir, request.param, SAMPLES) as started:
        wait_for(lambda: (RUN, LAST) in started.trees())
        yield started


def test_the_plugin_is_found_by_its_entry_point():
    found = importlib.metadata.entry_points(group="tensorboard_plugins", name="subgoals")
    assert [entry.load().__name__ for entry in found] == ["SubgoalsLoader"]


def test_tensorboard_lists_the_tab(server):
    listed = server.get("/data/plugins_listing").json()["subgoals"]
    assert listed["tab_name"] == "Subgoals" and listed["enabled"] is True
    path = listed["loading_mechanism"]["module_path"]
    assert server.get(path).body == (STATIC / "index.js").read_bytes()


def test_every_logged_step_is_listed(server):
    trees = server.trees()
    assert trees[RUN, MANY] == {
        "run": RUN,
        "tag": MANY,
        "suite": SUITE,
        "method": "hierarchical-distance",
        "bin": "far",
        "episode": "00012",
        "steps": list(range(NUM_STEPS)),
    }
    assert trees[RUN, LAST]["steps"] == [7]


def test_a_summary_without_a_data_class_vanishes(server):
    assert set(server.trees()) == {(RUN, MANY), (RUN, LAST)}
    assert server.tree(RUN, NO_CLASS, 0).status == 404


@pytest.mark.parametrize("loader", LOADERS)
def test_without_the_loaders_flag_steps_are_dropped(logdir, loader):
    with tensorboard(logdir, loader, program=("-c", SAMPLED)) as server:
        wait_for(lambda: (RUN, LAST) in server.trees())
        assert 0 < len(server.trees()[RUN, MANY]["steps"]) < NUM_STEPS


def test_the_users_samples_of_another_plugin_are_kept(server):
    scalars = server.get(f"/data/plugin/scalars/scalars?run={RUN}&tag=loss").json()
    assert len(scalars) == NUM_SCALARS_KEPT


def test_a_fetched_tree_is_the_one_that_was_written(server):
    for step in (0, 1, 250, NUM_STEPS - 1):
        reply = server.tree(RUN, MANY, step)
        assert reply.status == 200 and reply.content_type == "application/json"
        assert reply.json() == json.loads(tree_json(small_tree(step)))
    assert server.tree(RUN, MANY, 0).body != server.tree(RUN, MANY, 1).body


def test_a_tree_is_compressed_for_those_who_accept_it(server):
    path = f"/data/plugin/subgoals/tree?run={RUN}&tag={MANY}&step=3"
    plain = server.get(path)
    packed = server.get(path, **{"Accept-Encoding": "gzip, deflate"})
    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert packed.body == plain.body


def test_the_files_of_the_tab_are_served(server):
    types = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
    names = sorted(path.name for path in STATIC.iterdir() if path.suffix in types)
    assert {"index.js", "style.css"} <= set(names)
    for name in names:
        reply = server.get(f"/data/plugin/subgoals/static/{name}")
        assert reply.status == 200 and reply.body == (STATIC / name).read_bytes()
        assert reply.content_type == types[Path(name).suffix]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_what_the_front_end_imports_is_served(server):
    for path in STATIC.glob("*.js"):
        for name in re.findall(r"""\bfrom\s+["']\./([^"']+)["']""", path.read_text()):
            assert server.get(f"/data/plugin/subgoals/static/{name}").status == 200, name


def test_the_plugin_starts_without_torch():
    code = (
        "import sys, hplan.subgoals_plugin.plugin\n"
        "sys.exit(' '.join({'torch', 'pytorch_lightning', 'lightning'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.stderr.strip(), finished.returncode) == ("", 0)


def test_the_tab_has_a_shape_and_words_of_its_own_for_every_cause_and_outcome():
    text = (STATIC / "words.js").read_text()

    def entries(name):
        """What stands after each key of an object."""
        body = re.search(rf"const {name} = \{{(.*?)\}};", text, re.DOTALL).group(1)
        return dict(re.findall(r'^  (\w+): "(.*)",$', body, re.MULTILINE))

    shapes, meanings = entries("SHAPES"), entries("MEANINGS")
    words = {*get_args(Cause), *get_args(Outcome)}
    assert set(shapes) == set(meanings) == words
    assert len(set(shapes.values())) == len(set(meanings.values())) == len(words)
    assert set(entries("LETTERS")) == set(get_args(Cause))
    assert set(entries("KINDS")) == set(get_args(Outcome))
    for name, kinds in (("CAUSES", Cause), ("OUTCOMES", Outcome)):
        listed = re.search(rf"const {name} = \[(.*?)\];", text, re.DOTALL).group(1)
        assert set(re.findall(r'"(\w+)"', listed)) == set(get_args(kinds))
