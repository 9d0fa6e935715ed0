import torch

from mergecast.evidence.inputs.second_moment import SecondMoment


def rows(count: int, width: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


def test_a_narrow_moment_is_exact_and_so_is_its_factor():
    moment = SecondMoment(5, limit=5)
    moment.add(rows(7, 5))
    moment.add(rows(9, 5))
    expected = rows(7, 5).mT @ rows(7, 5) + rows(9, 5).mT @ rows(9, 5)
    torch.testing.assert_close(moment.matrix(), expected)
    factor = moment.factor()
    torch.testing.assert_close(factor.mT @ factor, expected, rtol=1e-5, atol=1e-5)


def test_a_wide_moment_of_few_rows_is_exact():
    moment = SecondMoment(40, limit=16, signs=torch.Generator().manual_seed(0))
    moment.add(rows(10, 40))
    moment.add(rows(6, 40))
    expected = rows(10, 40).mT @ rows(10, 40) + rows(6, 40).mT @ rows(6, 40)
    torch.testing.assert_close(moment.matrix(), expected)
    assert moment.factor().shape == (16, 40)


def test_a_wide_moment_of_many_rows_has_the_right_expectation():
    data, change = rows(500, 40), rows(3, 40)
    exact = float(((change @ (data.mT @ data)) * change).sum())
    estimates = []
    for seed in range(200):
        moment = SecondMoment(40, limit=16, signs=torch.Generator().manual_seed(seed))
        moment.add(data)
        estimates.append(float((moment.factor() @ change.mT).square().sum()))
    found = torch.tensor(estimates)
    # Four standard errors of the mean of 200 estimates.
    assert abs(float(found.mean()) - exact) < 4 * float(found.std()) / 200**0.5
    assert float(found.std()) < 0.4 * exact
