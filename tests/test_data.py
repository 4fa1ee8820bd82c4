from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from stepsize.data import (
    Items,
    Stream,
    Tensors,
    as_source,
    batches,
    evaluation_batches,
    first_batch,
    hold_out,
    samples_in,
)


class Numbers(Dataset[Any]):
    """Item i is (i, -i)."""

    def __init__(self, size: int, broken: int = -1) -> None:
        self.size, self.broken = size, broken

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        if i == self.broken:
            raise OSError("no such image")
        return torch.tensor(float(i)), -i


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[int]:
        return itertools.count()


def source(size: int, kind: str = "tensors") -> Tensors | Items:
    data: Any = torch.arange(size) if kind == "tensors" else Numbers(size)
    made = as_source("train", data)
    assert not isinstance(made, Stream)
    return made


def ids(batch: Any) -> list[int]:
    return [int(i) for i in (batch if isinstance(batch, torch.Tensor) else batch[0])]


SIZES = st.integers(1, 40)


@given(
    size=SIZES,
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["tensors", "items"]),
)
def test_every_epoch_visits_every_sample_once(size: int, batch_size: int, seed: int, kind: str) -> None:
    updates = -(-size // batch_size)
    stream = batches(source(size, kind), batch_size, seed)
    for _ in range(2):
        epoch = [ids(batch) for batch in itertools.islice(stream, updates)]
        assert sorted(itertools.chain(*epoch)) == list(range(size))
        assert [len(batch) for batch in epoch[:-1]] == [batch_size] * (updates - 1)
        assert 1 <= len(epoch[-1]) <= batch_size


def test_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    def epochs(seed: int, kind: str = "tensors") -> list[list[int]]:
        stream = batches(source(50, kind), 50 if kind == "items" else 49, seed)
        taken = list(itertools.islice(stream, 4 if kind == "tensors" else 2))
        return [ids(batch) for batch in taken]

    torch.manual_seed(1)
    first = epochs(0)
    torch.manual_seed(2)
    assert first == epochs(0)
    assert first[0] != first[2]
    assert first != epochs(1)
    items = epochs(0, "items")
    assert first[0] + first[1] == items[0]


@given(size=st.integers(2, 60), fraction=st.floats(0.01, 0.5), kind=st.sampled_from(["tensors", "items"]))
def test_held_out_part_is_disjoint_and_the_same_each_time(size: int, fraction: float, kind: str) -> None:
    train, held = hold_out(source(size, kind), fraction)
    assert not isinstance(train, Stream)
    assert not isinstance(held, Stream)
    assert sorted(ids(train.all()) + ids(held.all())) == list(range(size))
    assert held.size == max(1, round(size * fraction))
    again = hold_out(source(size, kind), fraction)[1]
    assert not isinstance(again, Stream)
    assert ids(again.all()) == ids(held.all())


@given(size=SIZES, batch_size=st.integers(1, 50), kind=st.sampled_from(["tensors", "items"]))
def test_evaluation_covers_everything_in_even_batches(size: int, batch_size: int, kind: str) -> None:
    found = evaluation_batches(source(size, kind), batch_size, 0, stream_batches=3)
    assert list(itertools.chain(*(ids(batch) for batch, _ in found))) == list(range(size))
    counts = [n for _, n in found]
    assert counts == [len(ids(batch)) for batch, _ in found]
    assert max(counts) <= batch_size
    assert max(counts) - min(counts) <= 1


def test_a_stream_is_asked_again_with_another_seed_when_it_ends() -> None:
    asked = []

    def make(batch_size: int, seed: int) -> Iterator[torch.Tensor]:
        asked.append(seed)
        yield torch.full((batch_size,), float(len(asked)))
        yield torch.full((batch_size,), float(len(asked)))

    stream = batches(as_source("train", make), 3, seed=7)
    assert [float(batch[0]) for batch in itertools.islice(stream, 5)] == [1, 1, 2, 2, 3]
    assert len(set(asked)) == 3
    first, asked = asked, []
    list(itertools.islice(batches(as_source("train", make), 3, seed=7), 5))
    assert asked == first
    asked = []
    evaluation_batches(as_source("train", make), 3, 7, stream_batches=5)
    assert not set(asked) & set(first)


def test_an_empty_stream_is_an_error_not_an_endless_loop() -> None:
    with pytest.raises(ValueError, match=r"val\(batch_size=4, seed=…\) gave an iterator without batches"):
        next(batches(as_source("val", lambda batch_size, seed: iter(())), 4, 0))


def test_a_dataset_that_raises_is_named_with_its_own_index_even_after_a_split() -> None:
    train, held = hold_out(as_source("train", Numbers(1000, broken=700)), 0.1)  # type: ignore[arg-type]
    assert isinstance(train, Items)
    assert isinstance(held, Items)
    broken = train if 700 in train.index else held
    with pytest.raises(RuntimeError, match=r"train\[700\] raised OSError: no such image"):
        broken.all()


def test_items_that_do_not_make_up_a_batch_are_named() -> None:
    class Ragged(Numbers):
        def __getitem__(self, i: int) -> Any:
            return torch.zeros(i + 1)

    with pytest.raises(RuntimeError, match="the items 0, 1, 2… of train do not make up a batch"):
        as_source("train", Ragged(3)).all()  # type: ignore[union-attr]


def test_trees_keep_their_shape() -> None:
    tree = {"x": np.zeros((6, 2)), "rest": (torch.ones(6), [torch.arange(6)])}
    made = as_source("train", tree)
    assert isinstance(made, Tensors)
    batch = made.take(torch.tensor([4, 1]))
    assert batch["x"].shape == (2, 2)
    assert batch["rest"][1][0].tolist() == [4, 1]
    assert samples_in(batch) == 2
    assert samples_in("no tensor") == 1


def test_a_tensor_dataset_is_read_as_its_tensors() -> None:
    assert isinstance(as_source("train", TensorDataset(torch.zeros(3), torch.zeros(3))), Tensors)


def test_anything_with_a_length_and_items_is_a_dataset() -> None:
    class Plain:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> float:
            return float(i)

    made = as_source("train", Plain())
    assert isinstance(made, Items)
    assert made.all().tolist() == [0.0, 1.0, 2.0]
    assert as_source("train", made) is made


def test_read_only_arrays_are_read_without_a_warning() -> None:
    array = np.zeros((4, 2))
    array.flags.writeable = False
    assert as_source("train", (array, np.arange(4))).size == 4  # type: ignore[union-attr]


def test_trials_leave_the_generators_alone() -> None:
    def make(batch_size: int, seed: int) -> Iterator[torch.Tensor]:
        while True:
            yield torch.randn(batch_size)

    before = torch.get_rng_state()
    assert len(first_batch(as_source("train", make), 5)) == 5
    assert torch.equal(before, torch.get_rng_state())


class NoLength(Dataset[Any]):
    def __getitem__(self, i: int) -> int:
        return i


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "loader": (DataLoader(Numbers(4)), TypeError, r"train is a DataLoader.*train=loader.dataset"),
    "iterable dataset": (Endless(), TypeError, "train is an IterableDataset: pass a callable"),
    "no length": (NoLength(), TypeError, "train is a Dataset without a length: give it __len__"),
    "empty dataset": (Numbers(0), ValueError, "train is empty: the Dataset has length 0"),
    "empty tensor": (torch.zeros(0, 3), ValueError, "train is empty: it has 0 samples"),
    "empty tuple": ((), ValueError, r"train is empty: pass tensors, for example train=\(x, y\)"),
    "unequal lengths": (
        (torch.zeros(5, 2), torch.zeros(4)),
        ValueError,
        r"train must hold tensors of one length, but their first dimensions are \[5, 4\]",
    ),
    "a scalar": ((torch.zeros(5), torch.tensor(1.0)), ValueError, "train holds a 0-dimensional tensor"),
    "a number": (3.0, TypeError, r"train must hold tensors or arrays.*holds a float: pass train=\(x, y\)"),
    "words": ({"x": ["a", "b"]}, TypeError, "train must hold tensors or arrays.*it holds a str"),
    "an array of words": (
        np.array(["a", "b"]),
        TypeError,
        "train holds an array of <U1 that torch cannot read",
    ),
    "an array of objects": (np.array([{}, {}]), TypeError, "train holds an array of object"),
}


@pytest.mark.parametrize(("data", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_data_is_named_with_a_call_that_works(data: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        as_source("train", data)


def test_samples_that_are_not_finite_are_counted_once_each() -> None:
    x = torch.zeros(5000, 2, 3)
    x[7, 0, 1], x[7, 1, 1], x[4999, 1, 2] = math.nan, math.inf, -math.inf
    y = torch.zeros(5000)
    y[8] = math.nan
    assert Tensors((x, y, torch.arange(5000)), 5000).not_finite() == 3
    assert Tensors(torch.arange(10), 10).not_finite() == 0
    assert Tensors((torch.zeros(4, 0), torch.eye(4).to_sparse()), 4).not_finite() == 0
