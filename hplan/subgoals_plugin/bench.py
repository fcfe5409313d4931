"""What subgoal trees cost: to list ten thousand of them in TensorBoard, and to write one."""

import base64
import random
import tempfile
from pathlib import Path

import networkx as nx
from tensorboard.backend.application import TensorBoardWSGIApp
from tensorboard.backend.event_processing.data_ingester import LocalDataIngester
from tensorboard.context import RequestContext
from tensorboard.plugins.core.core_plugin import CorePluginLoader
from tensorboard.program import TensorBoard
from torch.utils.tensorboard import SummaryWriter
from werkzeug.test import Client

from hplan.bench import timed_row
from hplan.subgoal_tree import PlanRecord, build_tree, save_tree
from hplan.subgoals_plugin import PLUGIN_NAME
from hplan.subgoals_plugin.plugin import SubgoalsLoader
from hplan.tree_summary import tree_summary, tree_tag, write_tree

NUM_TAGS, STEPS_PER_TAG = 20, 500
ENV_STEPS, ENV_STEPS_PER_PLAN = 100, 2
PICTURE_BYTES = 1000


def benchmark(*, num_repeats: int = 10) -> list[dict[str, str | float]]:
    """Times the tab's list of trees beside TensorBoard's own part of it, and the writing of a tree
    to TensorBoard beside that to its file.

    Args:
        num_repeats: of which the median counts.

    Returns:
        Rows of name, value, unit, reference (same unit), ratio (value to reference).
    """
    with tempfile.TemporaryDirectory() as folder:
        return [
            _listing(Path(folder) / "many", num_repeats),
            _writing(Path(folder) / "one", num_repeats),
        ]


def _listing(folder: Path, num_repeats: int) -> dict[str, str | float]:
    """Lists `NUM_TAGS * STEPS_PER_TAG` trees: for the tab, and TensorBoard alone."""
    writer = SummaryWriter(folder)
    for tag in range(NUM_TAGS):
        summary = tree_summary(f"{PLUGIN_NAME}/rooms/flat-l2/far/{tag:05d}", b"")
        for step in range(STEPS_PER_TAG):
            writer.file_writer.add_summary(summary, step)
    writer.close()
    plugins = [CorePluginLoader(), SubgoalsLoader()]
    board = TensorBoard(plugins)
    board.configure(logdir=str(folder), reload_interval=0.0, reload_task="blocking")
    ingester = LocalDataIngester(board.flags)
    ingester.start()
    store = ingester.data_provider
    client = Client(TensorBoardWSGIApp(board.flags, plugins, store))

    def by_tab() -> object:
        return client.get(f"/data/plugin/{PLUGIN_NAME}/trees").json["trees"]

    def by_tensorboard() -> object:
        return store.read_blob_sequences(
            RequestContext(),
            experiment_id="",
            plugin_name=PLUGIN_NAME,
            downsample=NUM_TAGS * STEPS_PER_TAG,
        )

    return timed_row("trees/list", by_tab, by_tensorboard, num_repeats)


def _writing(folder: Path, num_repeats: int) -> dict[str, str | float]:
    """Writes one tree of `ENV_STEPS` pictures: to TensorBoard, and to a file."""
    tree = _large_tree()
    tag = tree_tag(tree, "rooms")
    with SummaryWriter(folder) as writer:
        return timed_row(
            "trees/write",
            lambda: write_tree(writer, tag, tree, 0),
            lambda: save_tree(folder / "tree.json", tree),
            num_repeats,
        )


def _large_tree() -> nx.DiGraph:
    """An episode in which the bottom plans every other env step, with a picture of every one."""
    noise = random.Random(0)
    pictures = [
        "iVBORw0KGgo" + base64.b64encode(noise.randbytes(PICTURE_BYTES)).decode().rstrip("=")
        for _ in range(ENV_STEPS + 1)
    ]
    records = [
        PlanRecord(
            plan=plan,
            parent=0,
            level=0,
            cause="clock",
            made=plan * ENV_STEPS_PER_PLAN - ENV_STEPS_PER_PLAN,
            outcome="expired",
            ended=plan * ENV_STEPS_PER_PLAN,
            energy_before=noise.random(),
            energy_promised=noise.random(),
            energy_ended=0.0,
            energies=[*(noise.random() for _ in range(ENV_STEPS_PER_PLAN)), 0.0],
            energy_unit="env steps",
            horizon=5,
            steps_promised=5.0,
            predictor_evaluations=1000,
            support=None,
            subgoal=None,
            subgoal_distance=None,
            target=None,
            target_distance=None,
        )
        for plan in range(1, ENV_STEPS // ENV_STEPS_PER_PLAN + 1)
    ]
    goal = {
        "num_levels": 1, "method": "flat", "energy": "distance", "bin": "far", "episode": 0,
        "env_steps": ENV_STEPS, "observations": list(range(ENV_STEPS + 1)), "goal": ENV_STEPS,
    }  # fmt: skip
    return build_tree(records, goal, pictures)
