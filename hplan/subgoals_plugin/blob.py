"""A tree as TensorBoard stores it: compressed JSON, which may come from anybody."""

import json
import zlib
from typing import NoReturn

from hplan.subgoal_tree import parse_tree, tree_json

LARGEST_TREE = 8 * 2**20  # bytes of JSON
LONGEST_MESSAGE = 300  # characters: a message may quote the tree


def pack_tree(tree_text: str) -> bytes:
    """Compress a tree's JSON."""
    return zlib.compress(tree_text.encode())


def unpack_tree(blob: bytes) -> str:
    """The tree in a blob, checked, as JSON of the present format version.

    Raises:
        ValueError: the blob is no tree, or one larger than `LARGEST_TREE`; says in one line why.
    """
    try:
        data = json.loads(_inflate(blob).decode(), parse_constant=_refuse)
        return tree_json(parse_tree(data))
    except RecursionError as error:
        raise ValueError("the tree cannot be read: nested too deeply") from error
    except ValueError as error:
        line = " ".join(f"the tree cannot be read: {error}".split())
        raise ValueError(line[:LONGEST_MESSAGE]) from error


def _inflate(blob: bytes) -> bytes:
    """Decompress no more than `LARGEST_TREE` bytes, however large a blob would grow."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(blob, LARGEST_TREE + 1)
    except zlib.error as error:
        raise ValueError(f"not compressed by zlib: {error}") from error
    if len(data) > LARGEST_TREE:
        largest = LARGEST_TREE // 2**20
        raise ValueError(f"larger than {largest} MiB; log fewer or smaller pictures")
    if not inflater.eof:
        raise ValueError("truncated")
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"holds {constant}; allowed are finite numbers and null")
