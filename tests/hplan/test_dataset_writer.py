"""Datasets written chunk by chunk: the same bytes whatever happened on the way."""

import errno
import hashlib
import json
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from hplan.dataset import EpisodeStore
from hplan.dataset_files import stored_chunks
from hplan.dataset_writer import DatasetWriter, partial_folder
from hplan.joining import joined
from tests.hplan.walks import SPECS, same_episodes, walks

METADATA = {"task": "walk", "layout_seed": 17}
ASKED = {"data.num_episodes": 9}


def _chunks(kind="grid"):
    return [walks(kind, chunk=chunk, longest=longest) for chunk, longest in enumerate((11, 13, 7))]


def _writer(folder: Path, **changes):
    return DatasetWriter(folder, **{"metadata": METADATA, "asked": ASKED, **changes})


def _write(folder: Path, chunks) -> None:
    with _writer(folder) as writer:
        for chunk in chunks[len(writer.chunks) :]:
            writer.append(chunk)
        writer.finish()


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", SPECS)
def test_chunks_on_disk_are_the_chunks_joined(tmp_path, kind):
    chunks = _chunks(kind)
    _write(tmp_path / "walks", chunks)
    loaded, whole = EpisodeStore.load(tmp_path / "walks"), joined(chunks, METADATA)
    for name in ("frames", "frame_index", "actions", "lengths"):
        mine, other = getattr(loaded, name), getattr(whole, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name
    assert loaded.spec == SPECS[kind] and loaded.metadata == METADATA
    parts = list(stored_chunks(tmp_path / "walks"))
    assert len(parts) == 3
    assert all(map(same_episodes, parts, chunks))
    assert [path.name for path in tmp_path.iterdir()] == ["walks"]


def test_grids_are_kept_once_and_images_as_they_are():
    grids, images = (joined(_chunks(kind), {}) for kind in ("grid", "pixels"))
    assert len({frame.tobytes() for frame in grids.frames}) == len(grids.frames)
    assert len(grids.frames) < len(images.frames) == grids.num_steps + grids.num_episodes


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("num_before", [0, 1, 2, 3])
def test_what_stopped_goes_on_to_the_same_bytes(tmp_path, kind, num_before):
    chunks = _chunks(kind)
    _write(tmp_path / "at-once", chunks)
    with pytest.raises(KeyboardInterrupt), _writer(tmp_path / "walks") as writer:
        for chunk in chunks[:num_before]:
            writer.append(chunk)
        raise KeyboardInterrupt
    partial = partial_folder(tmp_path / "walks")
    assert partial.exists() == (num_before > 0), "nothing is left where nothing was written"
    if num_before:
        kept = EpisodeStore.load(partial)
        assert same_episodes(kept, joined(chunks[:num_before], METADATA))
    _write(tmp_path / "walks", chunks)
    assert _content(tmp_path / "walks") == _content(tmp_path / "at-once")


def test_nothing_is_lost_where_a_folder_cannot_have_its_name_yet(tmp_path):
    chunks, folder = _chunks(), tmp_path / "walks"
    _write(tmp_path / "at-once", chunks)
    with _writer(folder) as writer:
        for chunk in chunks:
            writer.append(chunk)
        (folder / "in-the-way").mkdir(parents=True)
        with pytest.raises(ValueError, match="written meanwhile by another process"):
            writer.finish()
    (folder / "in-the-way").rmdir()
    folder.rmdir()
    with _writer(folder) as writer:
        assert writer.num_episodes == sum(len(chunk.lengths) for chunk in chunks)
        writer.finish()
    assert _content(folder) == _content(tmp_path / "at-once")


def test_what_was_being_written_when_the_power_failed_is_written_anew(tmp_path):
    chunks = _chunks()
    _write(tmp_path / "at-once", chunks)
    with _writer(tmp_path / "walks") as writer:
        for chunk in chunks[:2]:
            writer.append(chunk)
    partial = partial_folder(tmp_path / "walks")
    (partial / "metadata.json").unlink()
    for name in ("frames.bin", "progress.jsonl"):
        with (partial / name).open("ab") as file:
            file.write(b'{"half')
    _write(tmp_path / "walks", chunks)
    assert _content(tmp_path / "walks") == _content(tmp_path / "at-once")


def test_an_unfinished_chunk_is_kept_until_it_is_collected_again(tmp_path):
    chunks = _chunks()
    _write(tmp_path / "at-once", chunks)
    half = walks(chunk=1, num_episodes=1)
    with _writer(tmp_path / "walks") as writer:
        writer.append(chunks[0])
        writer.append(half, unfinished=True)
        assert writer.num_episodes == 4
    kept = EpisodeStore.load(partial_folder(tmp_path / "walks"))
    assert same_episodes(kept, joined([chunks[0], half], METADATA))
    _write(tmp_path / "walks", chunks)
    assert _content(tmp_path / "walks") == _content(tmp_path / "at-once")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asked": {"data.num_episodes": 8}}, "begun with data.num_episodes = 9, 8 was asked for"),
        ({"metadata": {**METADATA, "seed": 1}}, "begun with seed = None, 1 was asked for"),
    ],
)
def test_another_collection_is_not_gone_on_with(tmp_path, changes, message):
    with _writer(tmp_path / "walks") as writer:
        writer.append(walks())
    with pytest.raises(ValueError, match=message), _writer(tmp_path / "walks", **changes):
        pass
    with _writer(tmp_path / "walks") as writer:
        assert writer.num_episodes == 3


def test_damaged_partial_folders_are_named(tmp_path):
    with _writer(tmp_path / "walks") as writer:
        writer.append(walks())
    frames = partial_folder(tmp_path / "walks") / "frames.bin"
    frames.write_bytes(frames.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"frames.bin is truncated .*; delete the .*partial"):
        _write(tmp_path / "walks", _chunks())


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    chunks = _chunks()
    _write(tmp_path / "at-once", chunks)
    with pytest.raises(ValueError, match="the disk is full"), _writer(tmp_path / "walks") as writer:
        writer.append(chunks[0])
        monkeypatch.setattr("os.fsync", full)
        writer.append(chunks[1])
    monkeypatch.undo()
    _write(tmp_path / "walks", chunks)
    assert _content(tmp_path / "walks") == _content(tmp_path / "at-once")


def test_episodes_of_another_spec_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="do not go with those of"),
        _writer(tmp_path / "walks") as w,
    ):
        w.append(walks("grid"))
        w.append(walks("vector"))


def test_a_second_process_waits_and_finds_it_done(tmp_path, caplog):
    found = []

    def second():
        with _writer(tmp_path / "walks") as writer:
            found.append(writer.is_done)

    waiting = threading.Thread(target=second)
    with _writer(tmp_path / "walks") as writer:
        writer.append(walks())
        waiting.start()
        while not caplog.records:
            waiting.join(0.01)
        assert not found
        writer.finish()
    waiting.join(60)
    assert found == [True]
    assert "is being written by another process; waiting for it" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["walks"]


def test_datasets_of_format_1_are_read(tmp_path):
    store, folder = walks(), tmp_path / "walks"
    folder.mkdir()
    np.savez_compressed(folder / "frames.npz", frames=store.frames)
    arrays = {name: getattr(store, name) for name in ("frame_index", "actions", "lengths")}
    np.savez_compressed(folder / "episodes.npz", **arrays)
    content = {
        "format": 1,
        "files": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
        },
        "spec": {name: asdict(store.spec)[name] for name in ("shape", "num_values", "num_actions")},
        "metadata": METADATA,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "metadata.json").write_text(json.dumps({**content, "sha256": digest}))
    assert same_episodes(EpisodeStore.load(folder, task="walk"), store)
    assert [same_episodes(chunk, store) for chunk in stored_chunks(folder)] == [True]
    frames = folder / "frames.npz"
    frames.write_bytes(frames.read_bytes()[:-1])
    with pytest.raises(ValueError, match="frames.npz is truncated or altered"):
        EpisodeStore.load(folder)
