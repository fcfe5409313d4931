"""The episode store: sizes, the way to disk and back, and everything that can befall a file."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from hplan import dataset_files
from hplan.dataset import EpisodeStore, ObservationSpec

E, T, U, WIDTH, HEIGHT = 3, 11, 13, 5, 7
SPEC = ObservationSpec(shape=(WIDTH, HEIGHT, 3), num_values=(11, 6, 4), num_actions=3)


@pytest.fixture
def store() -> EpisodeStore:
    generator, lengths = np.random.default_rng(0), np.array([2, T, 5])
    seen = np.arange(T + 1) <= lengths[:, None]
    return EpisodeStore(
        frames=generator.integers(4, size=(U, WIDTH, HEIGHT, 3), dtype=np.uint8),
        frame_index=np.where(seen, generator.integers(U, size=(E, T + 1)), 0).astype(np.int32),
        actions=generator.integers(3, size=(E, T), dtype=np.int8),
        lengths=lengths,
        spec=SPEC,
        metadata={"task": "walk", "layout_seed": 17, "wanderer": {"forward": 0.7}},
    )


def test_round_trip_is_exact(store, tmp_path):
    store.save(tmp_path / "deep" / "walks")
    loaded = EpisodeStore.load(tmp_path / "deep" / "walks", task="walk", layout_seed=17)
    for name in ("frames", "frame_index", "actions", "lengths"):
        mine, other = getattr(store, name), getattr(loaded, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name
    assert (loaded.spec, loaded.metadata) == (store.spec, store.metadata)


def test_same_episodes_make_the_same_bytes(store, tmp_path):
    for name in ("a", "b"):
        store.save(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["episodes-00000.npz", "frames.bin", "metadata.json"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_counts(store):
    assert (store.num_episodes, store.num_steps) == (E, 18)
    assert store.nbytes == U * WIDTH * HEIGHT * 3 + E * (T + 1) * 4 + E * T + E * 8
    assert [store.windows_of(length) for length in (1, 2, 5, 11, 12)] == [18, 15, 8, 1, 0]
    assert [store.fraction_with(length) for length in (2, 5, 6, 12)] == [1, 2 / 3, 1 / 3, 0]


def test_observations_leave_the_padding_out(store):
    seen = store.observations(2)
    assert seen.shape == (6, WIDTH, HEIGHT, 3)
    assert np.array_equal(seen[5], store.frames[store.frame_index[2, 5]])


@pytest.mark.parametrize("name", ["frames.bin", "episodes-00000.npz"])
@pytest.mark.parametrize("damage", ["cut", "flip", "delete"])
def test_damaged_arrays_are_named(store, tmp_path, name, damage):
    folder = tmp_path / "walks"
    store.save(folder)
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name} is truncated or altered .*; delete the folder"):
        EpisodeStore.load(folder)


def test_truncations_of_the_metadata_are_noticed(store, tmp_path):
    folder = tmp_path / "walks"
    store.save(folder)
    path = folder / "metadata.json"
    content = path.read_bytes().rstrip()
    for size in (*range(0, len(content), 13), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="metadata.json is truncated or altered"):
            EpisodeStore.load(folder)


def test_altered_metadata_are_noticed(store, tmp_path):
    folder = tmp_path / "walks"
    store.save(folder)
    path = folder / "metadata.json"
    path.write_text(path.read_text().replace('"layout_seed": 17', '"layout_seed": 19'))
    with pytest.raises(ValueError, match="metadata.json is truncated or altered"):
        EpisodeStore.load(folder)


def test_other_format_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_files, "FORMAT_VERSION", 99)
    store.save(tmp_path / "walks")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format 99, this version reads 1 to 2"):
        EpisodeStore.load(tmp_path / "walks")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"task": "swim"}, "is of task 'walk', 'swim' was asked for"),
        ({"layout_seed": 3}, "is of layout_seed 17, 3 was asked for"),
    ],
)
def test_dataset_of_another_task_is_refused(store, tmp_path, asked, message):
    store.save(tmp_path / "walks")
    with pytest.raises(ValueError, match=message):
        EpisodeStore.load(tmp_path / "walks", **asked)


def test_absent_folder_and_other_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match="walks is absent; run"):
        EpisodeStore.load(tmp_path / "walks")
    with pytest.raises(ValueError, match="is not a dataset, it has no metadata.json"):
        EpisodeStore.load(tmp_path)


@pytest.mark.parametrize("where", ["numpy.savez_compressed", "os.fsync", "tempfile.mkdtemp"])
def test_full_disk_leaves_nothing(store, tmp_path, monkeypatch, where):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    with pytest.raises(ValueError, match="the disk is full, dataset .* was not written"):
        store.save(tmp_path / "walks")
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing(store, tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save(tmp_path / "walks")
    assert list(tmp_path.iterdir()) == []


def test_existing_dataset_is_kept(store, tmp_path, monkeypatch):
    folder = tmp_path / "walks"
    store.save(folder)
    before = (folder / "metadata.json").read_bytes()
    with pytest.raises(ValueError, match="walks exists"):
        store.save(folder)
    # As when another process finishes first, after our own look.
    monkeypatch.setattr("pathlib.Path.exists", lambda path: False)
    with pytest.raises(ValueError, match="written meanwhile by another process"):
        store.save(folder)
    assert (folder / "metadata.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["walks"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": np.array([2, T + 1, 5])}, "lengths run from 2 to 12"),
        ({"lengths": np.array([2, 0, 5])}, "lengths run from 0 to 5"),
        ({"lengths": np.array([2, 3])}, "lengths has shape"),
        ({"frame_index": np.zeros((E, T), np.int32)}, "frame_index has shape"),
        ({"frame_index": np.full((E, T + 1), U)}, "frame_index runs from 13 to 13"),
        ({"actions": np.full((E, T), 3, np.int8)}, "actions run from 3 to 3"),
        ({"actions": np.zeros((0, T), np.int8)}, "hold no step"),
        ({"frames": np.zeros((U, HEIGHT, WIDTH, 3), np.uint8)}, r"frames are uint8 \(7, 5, 3\)"),
        ({"frames": np.zeros((U, WIDTH, HEIGHT, 3))}, "frames are float64"),
    ],
)
def test_episodes_that_do_not_fit_together_are_refused(store, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(store, **changes)


def test_spec_survives_json_and_must_describe_a_grid():
    as_json = json.loads(json.dumps(SPEC.__dict__))
    assert ObservationSpec.from_dict(as_json) == SPEC
    with pytest.raises(ValueError, match="one vocabulary size per channel"):
        ObservationSpec(shape=(WIDTH, HEIGHT, 3), num_values=(11, 6), num_actions=3)


@pytest.mark.parametrize("most", [1, 2, 3, 1000])
def test_a_sample_is_of_distinct_frames_from_first_to_last(store, most):
    sample = store.sample(most)
    assert 0 < len(sample) <= most
    assert len(sample) > min(most, len(store.frames)) / 2 - 1
    assert (sample[0] == store.frames[0]).all()
    kept = {frame.tobytes() for frame in sample}
    assert kept <= {frame.tobytes() for frame in store.frames} and len(kept) == len(sample)


def test_actions_are_looked_at_where_they_were_taken():
    spec = ObservationSpec(kind="vector", shape=(1,), action_low=(1.0,), action_high=(2.0,))
    settings = {
        "frames": np.zeros((1, 1), np.float32),
        "frame_index": np.zeros((1, 3), np.int32),
        "lengths": np.array([1]),
        "spec": spec,
    }
    EpisodeStore(actions=np.float32([[[1.5], [0.0]]]), **settings)
    for action in (0.5, np.nan):
        with pytest.raises(ValueError, match=f"actions run from {action} to {action}"):
            EpisodeStore(actions=np.float32([[[action], [1.5]]]), **settings)


def test_many_numbered_actions_need_a_wider_type():
    assert replace(SPEC, num_actions=128).action_dtype == np.int8
    assert replace(SPEC, num_actions=129).action_dtype == np.int16
