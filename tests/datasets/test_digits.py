import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stepsize.datasets import Mnist, digits, mnist


@pytest.fixture(scope="module")
def raw() -> Mnist:
    return mnist(raw=True)


def test_split_and_types(raw: Mnist) -> None:
    assert raw.train.images.shape == (55_000, 28, 28)
    assert raw.validation.images.shape == (5_000, 28, 28)
    assert raw.test.images.shape == (10_000, 28, 28)
    for split in (raw.train, raw.validation, raw.test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert len(split.labels) == len(split.images)
        assert set(split.labels.tolist()) == set(range(10))


def test_the_label_counts_are_the_published_ones(raw: Mnist) -> None:
    together = np.bincount(np.concatenate([raw.train.labels, raw.validation.labels]))
    assert together.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(raw.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_the_mean_and_deviation_of_the_training_file_are_the_published_ones(raw: Mnist) -> None:
    pixels = np.concatenate([raw.train.images, raw.validation.images]) / np.float32(255)
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)


def test_float_images_are_the_raw_ones_over_255(raw: Mnist) -> None:
    scaled = mnist().validation.images
    assert scaled.dtype == np.float32
    assert scaled.min() == 0
    assert scaled.max() == 1
    np.testing.assert_allclose(scaled, raw.validation.images / 255.0, rtol=1e-6)


def test_validation_is_as_hard_as_training(raw: Mnist) -> None:
    def error(images: np.ndarray, labels: np.ndarray) -> float:
        flat = images.reshape(len(images), -1).astype(np.float32)
        return float(np.mean(((means**2).sum(1) - 2 * flat @ means.T).argmin(1) != labels))

    train = raw.train.images.reshape(55_000, -1)
    means = np.stack([train[raw.train.labels == k].mean(0, dtype=np.float32) for k in range(10)])
    # two standard deviations of an error rate of 19% over 5,000 images are 1.1%
    assert abs(error(*raw.validation) - error(*raw.train)) < 0.011


def test_every_call_returns_its_own_writable_arrays(raw: Mnist) -> None:
    again = mnist(raw=True)
    again.train.images[:] = 0
    again.train.labels[:] = 0
    assert raw.train.images.any()
    assert mnist(raw=True).train.labels.any()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(digits.FOLDER, tmp_path / "mnist")
    monkeypatch.setattr(digits, "FOLDER", tmp_path / "mnist")
    return tmp_path / "mnist"


@pytest.mark.parametrize("name", digits.SHA256)
def test_a_truncated_file_is_named(copied: Path, name: str) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short or altered") as caught:
        mnist()
    assert str(path) in str(caught.value)
    assert "install stepsize again" in str(caught.value)


def test_an_altered_file_is_named(copied: Path) -> None:
    path = copied / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz: the file was cut short or altered"):
        mnist()


def test_a_file_damaged_after_its_check_is_still_named(copied: Path) -> None:
    mnist(raw=True)
    path = copied / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz: .*cut short"):
        mnist()


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte\.gz"):
        mnist()


def test_reading_data_does_not_import_torch() -> None:
    code = "import sys, stepsize.datasets as d; d.read_idx; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import stepsize.datasets

    with pytest.raises(AttributeError, match="cifar"):
        _ = stepsize.datasets.cifar  # type: ignore[attr-defined, unused-ignore]
