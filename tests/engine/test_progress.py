"""Progress in a log: plain lines, with the losses and the time left."""

import re

import pandas as pd

from comvae.engine.progress import epochs_shown, progress_shown


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_log_has_the_first_and_the_last_epoch_with_the_losses(caplog):
    rows = pd.DataFrame(
        {
            "reconstruction": [24.5, 26.0],
            "latent_kl": [1.5, 1.0],
            "negative_elbo": [26.0, 27.0],
        }
    )
    with caplog.at_level("INFO"), epochs_shown("digits vanilla", 4, 100) as show:
        for epoch in (1, 2, 3, 4):
            show(epoch, rows)
    begun, first, last = lines(caplog)
    assert begun == "digits vanilla: training for 4 epochs"
    loss = r"24\.50 \+ 1\.50 nats \(seeds 26\.00 to 27\.00\), \d+ images/s, \d+ s left"
    assert re.fullmatch(f"digits vanilla: epoch 1/4, {loss}", first)
    assert re.fullmatch(f"digits vanilla: epoch 4/4, {loss}", last)


def test_every_stage_is_told_where_no_time_must_pass(caplog):
    with caplog.at_level("INFO"), progress_shown("m", "measuring") as show:
        for done in (1, 2, 3):
            show(done, 3, f"stage {done}")
    assert [line.split(",")[0] for line in lines(caplog)[1:]] == [
        "m: step 1/3",
        "m: step 2/3",
        "m: step 3/3",
    ]
