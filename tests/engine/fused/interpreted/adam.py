"""The low-rank Adam kernel against `torch.optim.Adam` (run by test_interpreted)."""

import pytest
import torch

from comvae.engine.fused.optimiser import low_rank_adam_

RATES = {"lr": 3e-3, "beta1": 0.8, "beta2": 0.99, "eps": 1e-7}


@pytest.mark.parametrize(
    "seeds,rows,columns,batch",
    [
        (2, 64, 32, 32),  # one tile each
        (2, 70, 33, 37),  # no multiple of a tile in any direction
        (1, 5, 3, 2),
    ],
)
def test_kernel_is_adam_with_the_product_as_its_gradient(seeds, rows, columns, batch):
    generator = torch.Generator().manual_seed(0)
    param = torch.randn(seeds, rows, columns, generator=generator)
    exact = torch.nn.Parameter(param.double())
    betas = RATES["beta1"], RATES["beta2"]
    adam = torch.optim.Adam([exact], lr=RATES["lr"], betas=betas, eps=RATES["eps"])
    state = [param, torch.zeros_like(param), torch.zeros_like(param)]
    for step in range(1, 6):
        left = torch.randn(seeds, rows, batch, generator=generator)
        right = torch.randn(seeds, columns, batch, generator=generator)
        right[:, 0] = 0  # a pixel without ink, which Adam moves all the same
        low_rank_adam_(*state, left, right, step=torch.tensor(float(step)), **RATES)
        exact.grad = left.double() @ right.double().mT
        adam.step()
    found = adam.state[exact]
    for ours, theirs in zip(
        state, [exact, found["exp_avg"], found["exp_avg_sq"]], strict=True
    ):
        torch.testing.assert_close(ours, theirs.float(), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("step", [1.0, 2.0, 1e5])
def test_kernel_keeps_the_digits_of_the_first_and_of_late_steps(step):
    """1 - 0.999^step in float32 would be off by 6e-5 at step 1."""
    state, one = [torch.zeros(1, 1, 1) for _ in range(3)], torch.ones(1, 1, 1)
    low_rank_adam_(*state, one, one, step=torch.tensor(step), lr=1.0, eps=1e-12)
    mean, square = 0.1 / (1 - 0.9**step), 0.001 / (1 - 0.999**step)
    assert state[0].item() == pytest.approx(-mean / square**0.5, rel=1e-6)


def test_kernel_leaves_what_is_behind_its_tensors_alone():
    memory = torch.full((3, 200), 7.0)
    state = [row[:15].view(1, 5, 3) for row in memory]
    left, right = torch.ones(1, 5, 2), torch.ones(1, 3, 2)
    low_rank_adam_(*state, left, right, step=torch.ones(()), lr=1e-3)
    assert (memory[:, 15:] == 7).all() and (memory[:, :15] != 7).all()


@pytest.mark.parametrize(
    "name,value",
    [
        ("left", torch.zeros(1, 4, 4)),
        ("right", torch.zeros(1, 2, 4)),
        ("exp_avg_sq", torch.zeros(1, 5, 3).double()),
        ("param", torch.zeros(1, 3, 5).mT),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, value):
    state = dict.fromkeys(("param", "exp_avg", "exp_avg_sq"), torch.zeros(1, 5, 3))
    factors = {"left": torch.zeros(1, 5, 4), "right": torch.zeros(1, 3, 4)}
    with pytest.raises(ValueError, match="expected"):
        low_rank_adam_(**(state | factors | {name: value}), step=torch.ones(()), lr=1)
