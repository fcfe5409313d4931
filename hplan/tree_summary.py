"""Subgoal trees in TensorBoard's event files, where the tab "Subgoals" finds them."""

import re

import networkx as nx
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    Summary,
    SummaryMetadata,
)
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from torch.utils.tensorboard import SummaryWriter

from hplan.subgoal_tree import ROOT, tree_json
from hplan.subgoals_plugin import PLUGIN_NAME
from hplan.subgoals_plugin.blob import pack_tree


def tree_tag(tree: nx.DiGraph, suite: str) -> str:
    """Where a tree stands in TensorBoard: subgoals/<suite>/<method>-<energy>/<bin>/<episode>.

    In names, all but letters, digits and "._-" becomes "_".

    Args:
        tree: its goal holds `method`, `energy`, `bin` and `episode`.
        suite: name of the suite of start-goal pairs.
    """
    goal = tree.nodes[ROOT]
    names = (suite, f"{goal['method']}-{goal['energy']}", goal["bin"])
    plain = (re.sub(r"[^\w.-]", "_", name) for name in names)
    return "/".join((PLUGIN_NAME, *plain, f"{goal['episode']:05d}"))


def write_tree(writer: SummaryWriter, tag: str, tree: nx.DiGraph, step: int) -> None:
    """Log a tree.

    TensorBoard's fast loader takes a step that does not increase for a restart, and drops what the
    run logged under the same tag from that step on.

    Args:
        writer: as Lightning's TensorBoard logger has it in `experiment`.
        tag: of `tree_tag`.
        step: optimiser update of the weights that planned.
    """
    writer.file_writer.add_summary(tree_summary(tag, pack_tree(tree_json(tree))), step)


def tree_summary(tag: str, blob: bytes) -> Summary:
    """A summary of one blob. Without a data class TensorBoard would drop it silently."""
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME),
        data_class=DATA_CLASS_BLOB_SEQUENCE,
    )
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=[blob])
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
