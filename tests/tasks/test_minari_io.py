"""Minari: there and back without loss, and what can go wrong on the way."""

import errno
from dataclasses import replace

import minari
import numpy as np
import pytest

from hplan.joining import joined
from tasks import build_task
from tasks.collect import collect
from tasks.minari_io import export_minari, minari_nbytes
from tasks.minari_source import import_minari
from tasks.wander import Wanderer
from tests.hplan.walks import SPECS, same_episodes, walks

pytestmark = pytest.mark.filterwarnings("ignore:.*is set to None", "ignore:env_spec is None")
E, T, ID = 3, 11, "hplan/walks-v0"


@pytest.fixture(autouse=True)
def datasets_path(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def _store(name: str = "rooms-tiny", num_episodes: int = E):
    task = replace(build_task(name, 0), wanderer=Wanderer())  # who needs no way through the world
    return collect(task, num_episodes=num_episodes, episode_length=T, seed=0)


def _origin(store) -> dict:
    """What is added to the metadata of a store that comes back."""
    size = {"episodes": store.num_episodes, "steps": store.num_steps}
    return {"minari": ID, "minari_size": size}


def _assert_same(first, second) -> None:
    for name in ("frames", "frame_index", "actions", "lengths"):
        mine, other = getattr(first, name), getattr(second, name)
        assert mine.dtype == other.dtype and np.array_equal(mine, other), name
    assert (first.spec, first.metadata) == (second.spec, {**second.metadata, **_origin(second)})


@pytest.mark.parametrize("kind", SPECS)
def test_every_kind_of_observation_and_action_comes_back(kind):
    store = walks(kind)
    export_minari(store, ID)
    again = import_minari(ID)
    assert same_episodes(again, store)
    assert len(again.frames) == len(joined([store], {}).frames)
    assert again.metadata == {**store.metadata, **_origin(store)}


@pytest.mark.parametrize(("name", "num_episodes"), [("rooms-large", E), ("rooms-tiny", 103)])
def test_round_trip_is_lossless(name, num_episodes):
    store = _store(name, num_episodes)
    export_minari(store, ID)
    _assert_same(import_minari(ID), store)
    assert minari_nbytes(ID) > store.num_steps * np.prod(store.spec.shape)


def test_grids_that_look_like_photographs_are_not_stored_as_such():
    # At least 32 x 32 with values up to 255 is what Minari stores as a lossy JPEG if it is let.
    store = _store("rooms-large")
    store = replace(store, spec=replace(store.spec, num_values=(256, 256, 256)))
    export_minari(store, ID)
    _assert_same(import_minari(ID), store)


def test_episodes_of_several_lengths_come_back():
    store = _store()
    lengths = np.array([5, T, 7])
    inside = np.arange(T + 1) <= lengths[:, None]
    kept, first = np.unique(np.where(inside, store.frame_index, -1), return_index=True)
    order = kept[np.argsort(first)]
    order = order[order >= 0]
    number = np.zeros(len(store.frames), np.int32)
    number[order] = np.arange(len(order))
    store = replace(
        store,
        frames=store.frames[order],
        frame_index=np.where(inside, number[store.frame_index], 0).astype(np.int32),
        actions=np.where(inside[:, 1:], store.actions, 0).astype(np.int8),
        lengths=lengths,
    )
    export_minari(store, ID)
    _assert_same(import_minari(ID), store)


def test_existing_and_absent_datasets_are_named():
    export_minari(_store(), ID)
    with pytest.raises(ValueError, match=f"{ID} exists"):
        export_minari(_store(), ID)
    with pytest.raises(ValueError, match="hplan/other-v0 is absent"):
        import_minari("hplan/other-v0")


def test_truncated_dataset_is_named(datasets_path):
    export_minari(_store(), ID)
    path = next((datasets_path / ID).rglob("*.hdf5"))
    path.write_bytes(path.read_bytes()[:-4099])
    with pytest.raises(ValueError, match=f"{ID} .* is truncated or altered"):
        import_minari(ID)


def test_full_disk_leaves_nothing(datasets_path, monkeypatch):
    def full(self, buffer):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(minari.MinariDataset, "update_dataset_from_buffer", full)
    with pytest.raises(ValueError, match="was not written .*No space left"):
        export_minari(_store(num_episodes=101), ID)
    assert not (datasets_path / ID).exists()
