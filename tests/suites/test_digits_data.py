import pytest
import torch

from mergecast.errors import UsageError
from mergecast.suites.digits.data import TASKS, task_data

SIZES = (1000, 100, 0)


def test_there_are_fourteen_tasks():
    assert len(TASKS) == len(set(TASKS)) == 14


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_whole(task):
    data = task_data(task, *SIZES)
    assert (len(data.test.labels), len(data.calibration.labels)) == (1000, 100)
    assert len(data.train.labels) > 600
    for split in (data.train, data.calibration, data.test):
        assert split.images.shape == (len(split.labels), 8, 8)
        assert 0 <= split.images.min() <= split.images.max() <= 1
        assert set(split.labels.tolist()) == set(range(data.n_classes))


def test_the_splits_share_no_image():
    data = task_data("upright", *SIZES)
    images = torch.cat([s.images.flatten(1) for s in (data.train, data.calibration, data.test)])
    assert len(torch.unique(images, dim=0)) == len(images)


def test_all_tasks_split_the_images_alike():
    upright, mirrored = (task_data(task, *SIZES) for task in ("upright", "mirrored"))
    assert torch.equal(upright.test.images.flip(2), mirrored.test.images)
    prime = task_data("prime", *SIZES).test.labels
    digits = upright.test.labels
    assert torch.equal(prime.bool(), torch.isin(digits, torch.tensor([2, 3, 5, 7])))


def test_another_split_seed_is_another_split():
    one, other = (task_data("upright", 1000, 100, seed).test.images for seed in (0, 1))
    assert not torch.equal(one, other)


def test_wrong_requests_are_usage_errors():
    with pytest.raises(UsageError, match="did you mean 'mirrored'"):
        task_data("mirored", *SIZES)
    with pytest.raises(UsageError, match="leave no training images; there are 17"):
        task_data("upright", 1700, 100, 0)
