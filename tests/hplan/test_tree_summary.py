"""Subgoal trees in event files, read back by TensorBoard's own reader."""

import zlib

import networkx as nx
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE
from torch.utils.tensorboard import SummaryWriter

from hplan.subgoal_tree import ROOT, tree_json
from hplan.subgoals_plugin import bench
from hplan.tree_summary import tree_tag, write_tree
from tests.hplan.trees import small_tree

TAG = "subgoals/rooms/hierarchical-distance/far/00012"


def _values(folder):
    """(step, value) of every summary of the one event file, in the order of the file."""
    (path,) = folder.glob("events.out.tfevents.*")
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            yield event.step, value


def _renamed(**names):
    tree = small_tree(0)
    tree.nodes[ROOT].update(names)
    return tree


def test_a_tag_names_suite_method_energy_bin_and_episode():
    assert tree_tag(small_tree(3), "rooms") == TAG


@pytest.mark.parametrize(
    ("tree", "suite"),
    [
        (small_tree(0), "mini/grid"),
        (_renamed(bin="far/near"), "rooms"),
        (_renamed(method='"<b>\\\n\x00'), "rooms"),
    ],
)
def test_no_name_adds_a_part_or_markup_to_a_tag(tree, suite):
    tag = tree_tag(tree, suite)
    assert tag.count("/") == TAG.count("/")
    assert not set(tag) & set('"<>\\\n\x00')


def test_each_tree_is_one_blob_beside_the_scalars(tmp_path):
    trees = {update: small_tree(update) for update in (10, 20)}
    writer = SummaryWriter(tmp_path)
    for update, tree in trees.items():
        writer.add_scalar("loss", 0.5, update)
        write_tree(writer, TAG, tree, update)
    writer.close()
    values = list(_values(tmp_path))
    assert [(step, value.tag) for step, value in values] == [
        (10, "loss"), (10, TAG), (20, "loss"), (20, TAG)
    ]  # fmt: skip
    for step, value in values[1::2]:
        assert value.metadata.plugin_data.plugin_name == "subgoals"
        assert value.metadata.data_class == DATA_CLASS_BLOB_SEQUENCE
        (blob,) = value.tensor.string_val
        assert [dim.size for dim in value.tensor.tensor_shape.dim] == [1]
        assert zlib.decompress(blob).decode() == tree_json(trees[step])


def test_equal_trees_give_equal_bytes(tmp_path):
    writer = SummaryWriter(tmp_path)
    tree = small_tree(1)
    shuffled = nx.DiGraph(**tree.graph)
    shuffled.add_nodes_from(reversed(list(tree.nodes(data=True))))
    shuffled.add_edges_from(reversed(list(tree.edges)))
    for equal in (tree, shuffled, small_tree(2)):
        write_tree(writer, TAG, equal, 0)
    writer.close()
    first, second, other = (value.tensor.string_val[0] for _, value in _values(tmp_path))
    assert first == second != other


def test_the_benchmark_times_the_list_and_the_writing(monkeypatch):
    monkeypatch.setattr(bench, "STEPS_PER_TAG", 3)
    rows = bench.benchmark(num_repeats=1)
    assert [row["name"] for row in rows] == ["trees/list", "trees/write"]
    for row in rows:
        assert row["unit"] == "ms" and row["reference"] > 0
        assert row["ratio"] == row["value"] / row["reference"] > 0
