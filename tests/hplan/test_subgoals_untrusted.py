"""What nobody can do to TensorBoard by the names, tags and trees in its log directory."""

import json
import tracemalloc
import zlib

import pytest
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from torch.utils.tensorboard import SummaryWriter

from hplan.subgoal_tree import tree_json
from hplan.subgoals_plugin.blob import LARGEST_TREE, LONGEST_MESSAGE, pack_tree, unpack_tree
from hplan.tree_summary import tree_summary, write_tree
from tests.hplan.tensorboard_server import tensorboard, wait_for
from tests.hplan.trees import small_tree

GOOD_TAG = "subgoals/rooms/flat-l2/near/00001"
MARKUP_RUN = "<img src=x onerror=alert(1)>"
MARKUP_TAG = "subgoals/<script>alert(2)<b>/&quot;'/><svg onload=alert(3)>/%00"
ODD_TAGS = ("x" * 3000, "subgoals", "/", "subgoals/a/b/c", "../../secret.txt", "größer/\u2028")
ESCAPED_TAGS = ('a "quote"', "a back\\slash", "a line\nbreak", "a null\x00")
SECRET = b"what stands outside the log directory"
ROUTES = "/data/plugin/subgoals"


def _edited(change):
    data = json.loads(tree_json(small_tree(0)))
    change(data)
    return json.dumps(data)


def _cycle(data):
    data["edges"] = [{"source": s, "target": t} for s, t in ((0, 3), (1, 2), (2, 1))]


def _tails(data):
    """A circle of two plans, and below it a chain that is numbered from its end."""
    node, number = {**data["nodes"][1], "energies": None, "energy_unit": None}, 10_000
    above = {child: child + 1 for child in range(1, number + 2)} | {number + 2: number + 1}
    data["nodes"][1:] = [{**node, "id": child} for child in above]
    data["edges"] = [{"source": parent, "target": child} for child, parent in above.items()]


GOOD_TEXT = tree_json(small_tree(0))
LONG = 10 * 2**20
BLOBS = {
    "not zlib": (b"a tree", "not compressed by zlib"),
    "empty": (b"", "truncated"),
    "truncated": (pack_tree(GOOD_TEXT)[:-5], "truncated"),
    "not JSON": (pack_tree(GOOD_TEXT[:-1]), "delimiter"),
    "not UTF-8": (zlib.compress(b'"\xff"'), "utf-8"),
    "no tree": (pack_tree("[]"), "not an object"),
    "cycle": (pack_tree(_edited(_cycle)), "cycle"),
    "missing parent": (pack_tree(_edited(lambda data: data["edges"].pop())), "without a parent"),
    "NaN": (pack_tree(_edited(lambda data: data["nodes"][1].update(support=float("nan")))), "NaN"),
    "infinity": (pack_tree(_edited(lambda data: data.update(x=-float("inf")))), "-Infinity"),
    "10 MB of text": (pack_tree(_edited(lambda data: data.update(x="x" * LONG))), "than 8 MiB"),
    "a long word": (pack_tree(_edited(lambda d: d["nodes"][1].update(cause="x" * 2**22))), "xxx"),
    "two lines": (pack_tree(_edited(lambda d: d["nodes"][1].update(cause="a\nb"))), "a\\nb"),
    "deep": (pack_tree("[" * 200_000), "nested too deeply"),
    "a long number": (pack_tree("9" * 9000), "digits"),
    "bomb": (zlib.compress(bytes(100 * 2**20), 1), "larger than 8 MiB"),
}
TENSORS = {
    "a number": lambda tensor: tensor.MergeFrom(TensorProto(dtype=DT_FLOAT, float_val=[1.0])),
    "of another type": lambda tensor: tensor.MergeFrom(TensorProto(dtype=99)),
    "no vector": lambda tensor: tensor.tensor_shape.dim.add(size=1),
    "of no size": lambda tensor: tensor.tensor_shape.ClearField("dim"),
    "fewer than it says": lambda tensor: tensor.string_val.pop(),
    "more than it says": lambda tensor: tensor.string_val.append(b""),
    "less than none": lambda tensor: setattr(tensor.tensor_shape.dim[0], "size", -1),
}


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrusted")
    (folder / "secret.txt").write_bytes(SECRET)
    logdir = folder / "runs"
    odd = (MARKUP_TAG, *ODD_TAGS, *ESCAPED_TAGS)  # the good one last: then all are served
    for path in (logdir / "good", logdir / MARKUP_RUN, folder / "outside"):
        writer = SummaryWriter(path)
        for tag in (*(odd if path.name == MARKUP_RUN else ()), GOOD_TAG):
            write_tree(writer, tag, small_tree(1), 1)
        writer.close()
    writer = SummaryWriter(logdir / "bad")
    for name, (blob, _) in BLOBS.items():
        writer.file_writer.add_summary(tree_summary(name, blob), 1)
    for name, change in TENSORS.items():
        summary = tree_summary(name, b"")
        change(summary.value[0].tensor)
        writer.file_writer.add_summary(summary, 1)
    write_tree(writer, GOOD_TAG, small_tree(1), 1)
    writer.close()
    return logdir


@pytest.fixture(
    scope="module",
    params=["--load_fast=false", pytest.param("--load_fast=auto", marks=pytest.mark.slow)],
)
def server(request, logdir):
    runs = {(run, GOOD_TAG) for run in ("good", MARKUP_RUN, "bad")}
    with tensorboard(logdir, request.param) as started:
        wait_for(lambda: runs <= set(started.trees()))
        yield started


def _check_refused(reply, *statuses):
    """An error of one plain line, from which a browser makes nothing else."""
    assert reply.status in statuses
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.content_type == "application/json"
    assert list(reply.json()) == ["error"]
    line = reply.json()["error"]
    assert 0 < len(line) <= LONGEST_MESSAGE and line.isprintable()
    return line


@pytest.mark.parametrize("name", BLOBS)
def test_a_malformed_tree_is_refused_in_one_line_and_the_server_stays_up(server, name):
    line = _check_refused(server.tree("bad", name, 1), 422)
    assert BLOBS[name][1] in line
    assert server.process.poll() is None
    assert server.tree("bad", GOOD_TAG, 1).json() == json.loads(tree_json(small_tree(1)))


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_holds_no_blob_is_refused(server, name):
    _check_refused(server.tree("bad", name, 1), 404, 422)
    assert server.tree("bad", GOOD_TAG, 1).status == 200


def test_a_tag_without_data_is_told_of(tmp_path):
    writer = SummaryWriter(tmp_path)
    write_tree(writer, GOOD_TAG, small_tree(1), 1)
    summary = tree_summary("no data", b"")
    summary.value[0].ClearField("tensor")
    writer.file_writer.add_summary(summary, 1)
    writer.close()
    with tensorboard(tmp_path, "--load_fast=false") as server:
        wait_for(lambda: server.tree(".", GOOD_TAG, 1).status == 200)
        assert "no data yet" in _check_refused(server.get(f"{ROUTES}/trees"), 422)


def test_a_bomb_is_not_inflated():
    blob = BLOBS["bomb"][0]
    tracemalloc.start()
    with pytest.raises(ValueError, match="larger than 8 MiB"):
        unpack_tree(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * LARGEST_TREE


def test_a_large_tree_within_the_limit_is_served():
    pictures = [f"iVBORw0KGgo{index}{'A' * 999_980}" for index in range(8)]
    text = _edited(lambda data: data["graph"].update(pictures=pictures))
    assert LARGEST_TREE - 2**19 < len(text) < LARGEST_TREE
    assert json.loads(unpack_tree(pack_tree(text))) == json.loads(text)


# Not how fast it is: a search that starts anew at every plan would take hours.
@pytest.mark.timeout(30)
def test_the_search_for_a_cycle_ends():
    with pytest.raises(ValueError, match="cycle"):
        unpack_tree(pack_tree(_edited(_tails)))


def test_markup_in_names_is_told_as_text(server):
    reply = server.get(f"{ROUTES}/trees")
    assert reply.content_type == "application/json"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    listed = server.trees()
    for tag in (GOOD_TAG, MARKUP_TAG, *ODD_TAGS):
        assert listed[MARKUP_RUN, tag]["steps"] == [1]
        tree = server.tree(MARKUP_RUN, tag, 1)
        assert tree.json() == json.loads(tree_json(small_tree(1)))
    for tag in ESCAPED_TAGS:
        assert listed[MARKUP_RUN, tag]["steps"] == [1]
        reply = server.tree(MARKUP_RUN, tag, 1)
        if server.is_fast:
            assert "--load_fast=false" in _check_refused(reply, 422)
        else:
            assert reply.json() == json.loads(tree_json(small_tree(1)))
    entry = listed[MARKUP_RUN, MARKUP_TAG]
    assert entry["suite"] == "<script>alert(2)<b>" and entry["episode"] == "%00"
    assert listed[MARKUP_RUN, "subgoals"]["episode"] == "subgoals"


def test_markup_in_a_request_does_not_come_back_as_a_page(server):
    for run, tag, step in ((MARKUP_RUN, "<b>", 1), ("<b>", GOOD_TAG, 1), ("good", GOOD_TAG, "<b>")):
        assert "<b>" not in _check_refused(server.tree(run, tag, step), 400, 404)


def test_no_run_outside_the_log_directory_is_served(server, logdir):
    outside = logdir.parent / "outside"
    assert outside.is_dir()
    for run in ("../outside", str(outside), f"{logdir}/good", "good/../good", "good/../../outside",
                "./good", "good\x00", "", ".", "..%2foutside", "bad/../good"):  # fmt: skip
        _check_refused(server.tree(run, GOOD_TAG, 1), 404)
    assert {run for run, _ in server.trees()} == {"good", MARKUP_RUN, "bad"}


def test_no_tag_names_a_file_or_another_run(server, logdir):
    for tag in ("../secret.txt", "../../secret.txt", f"{logdir.parent}/secret.txt", "", "\x00",
                MARKUP_TAG, f"{GOOD_TAG}\x00", f"../{MARKUP_RUN}/{GOOD_TAG}"):  # fmt: skip
        _check_refused(server.tree("good", tag, 1), 404)


def test_a_step_is_an_integer_that_was_logged(server):
    for step in ("", "x", "1.0", "1e0", "+1", " 1", "1 ", "0x1", "1_0", "١", "1\n", "9" * 5000):
        _check_refused(server.tree("good", GOOD_TAG, step), 400)
    for step in (0, -1, 2, 10**18):
        _check_refused(server.tree("good", GOOD_TAG, step), 404)
    for query in ("", "?run=good", f"?run=good&tag={GOOD_TAG}", "?step=1", "?%00", "?run[]=good"):
        _check_refused(server.get(f"{ROUTES}/tree{query}"), 400)


def test_no_path_leads_out_of_the_tabs_files(server, logdir):
    secret = str(logdir.parent / "secret.txt")
    names = [
        "", "../plugin.py", "../__init__.py", "%2e%2e/plugin.py", "..%2fplugin.py",
        "..%5cplugin.py", "%252e%252e/plugin.py", "....//plugin.py", "./index.js",
        "x/../index.js", "index.js%00", "%00", "INDEX.JS", "/index.js", "index.js/x", secret,
        quote_all(secret), f"..{secret}", "../" * 12 + secret, "../" * 12 + "etc/passwd",
        "%2fetc%2fpasswd", "~/.bashrc",
    ]  # fmt: skip
    for name in names:
        reply = server.get(f"{ROUTES}/static/{name}")
        assert reply.status == 404, name
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.content_type == "text/plain; charset=utf-8"
        assert reply.body == b"Not found"


def quote_all(path):
    return "".join(f"%{byte:02x}" for byte in path.encode())
