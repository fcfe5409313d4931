"""What the browser tests log: trees of several runs, methods and updates, and odd ones."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from hplan.tree_summary import tree_summary, tree_tag, write_tree
from tests.browser.episodes import episode_tree

RUN, OTHER_RUN = "rooms-L3-s0", "rooms-L2-s1"
UPDATES = (1000, 5000, 20000)
MARKUP = "<img src=x onerror=window.hacked=1>"
SHORT_MARKUP = "<b id=hacked>"  # fits on a card
MARKUP_TAG = f"subgoals/rooms/{MARKUP}/{MARKUP}/00003"
BROKEN_TAG = "subgoals/rooms/broken-l2/far/00001"
SUITE = "rooms"
NUM_TAGS = 7


def hierarchical(update: int):
    """Three levels; the later the update, the shorter the episode."""
    steps = {1000: 31, 5000: 29, 20000: 23}[update]
    return episode_tree(num_levels=3, env_steps=steps, update=update, seed=update)


def flat(update: int):
    """One level, on the same start and goal."""
    return episode_tree(num_levels=1, env_steps=37, update=update, method="flat", success=False)


def old():
    """Two levels, as it was stored before the targets of plans were kept."""
    return episode_tree(num_levels=2, env_steps=19, method="old", targets=False)


def elsewhere():
    """Two levels, another start and goal."""
    return episode_tree(
        num_levels=2, env_steps=19, episode=7, pair="0123456789ab-7", pictures=False
    )


def marked_up():
    """Markup wherever a tree holds text."""
    return episode_tree(num_levels=1, env_steps=5, task=SHORT_MARKUP, method=MARKUP)


def large():
    return episode_tree(num_levels=4, env_steps=907, bottom_steps=1, method="large", episode=1)


def tag_of(tree) -> str:
    return tree_tag(tree, SUITE)


def write_logs(folder: Path) -> None:
    writer = SummaryWriter(folder / RUN)
    for update in UPDATES:
        for tree in (hierarchical(update), flat(update)):
            write_tree(writer, tag_of(tree), tree, update)
    for tree in (large(), old()):
        write_tree(writer, tag_of(tree), tree, UPDATES[0])
    writer.file_writer.add_summary(tree_summary(BROKEN_TAG, b"not compressed"), UPDATES[0])
    writer.close()
    odd = (OTHER_RUN, tag_of(elsewhere()), elsewhere()), (MARKUP, MARKUP_TAG, marked_up())
    for run, tag, tree in odd:
        writer = SummaryWriter(folder / run)
        write_tree(writer, tag, tree, UPDATES[0])
        writer.close()
