import torch

from mergecast.runtime.seeds import generator


def test_one_seed_and_purpose_draws_the_same_and_no_other_does():
    def draw(*purpose):
        return torch.rand(4, generator=generator(*purpose)).tolist()

    assert draw(0, "base") == draw(0, "base")
    assert (
        len({tuple(draw(*p)) for p in [(0, "base"), (1, "base"), (0, "head"), (0, "a", "b")]}) == 4
    )


def test_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    torch.rand(3, generator=generator(5, "base"))
    assert torch.equal(torch.random.get_rng_state(), before)
