"""How long training still takes, by the page Live."""

from types import SimpleNamespace

import pandas as pd

from comvae.results.standing import Seen, Standing
from comvae.study.plan import Block
from dashboard.forecast import forecast


def seen(status, model="vanilla", seeds=(0, 1), seconds=None):
    block = Block("digits", model, seeds, "0" * 12, "0" * 12)
    return Seen(block, str(block.folder), status, seconds=seconds)


def trail(seconds_left):
    return SimpleNamespace(seconds_left=seconds_left)


def test_time_left_by_model_and_by_the_blocks_at_a_time():
    blocks = [
        seen("trained", seconds=20.0),  # 10 s per seed
        seen("running", seeds=(2, 3)),
        seen("running", "compound-mixture"),
        seen("waiting", seeds=(4,)),
        seen("stopped", seeds=(5, 6)),
    ]
    told = {
        "digits/vanilla/000000000000/seeds-2-3": trail(4.0),
        "digits/compound-mixture/000000000000/seeds-0-1": trail(6.0),
    }
    # (4 + 6 + 10 + 20) / 2
    assert forecast(Standing(blocks, []), told, None) == (
        "About 20 s of training left, 2 blocks at a time. "
        "Evaluation and gaps come on top."
    )
    told["digits/vanilla/000000000000/seeds-2-3"] = trail(
        59.0
    )  # and at least that of the slowest
    assert "About 59 s" in forecast(Standing(blocks, []), told, None)


def test_time_left_learns_from_the_tables():
    runs = pd.DataFrame(
        {
            "dataset": "digits",
            "model": ["vanilla", "vanilla", "compound-mixture"],
            "split": ["test", "train", "test"],
            "train_seconds": [5.0, 777.0, None],
        }
    )
    blocks = [seen("running"), seen("waiting", seeds=(2,))]
    assert "About 15 s" in forecast(Standing(blocks, []), {}, runs)
    others = [seen("running", "compound-mixture")]  # by the models that have finished
    assert "About 10 s" in forecast(Standing(others, []), {}, runs)


def test_no_time_left_without_a_finished_block_or_a_running_one():
    waiting = [seen("waiting")]
    none = forecast(Standing([seen("running"), *waiting], []), {}, None)
    assert "no block has finished. Now 1 block at a time" in none
    assert forecast(Standing(waiting, []), {}, None) == "Nothing is training now."
    assert forecast(Standing([seen("trained", seconds=1.0)], []), {}, None) == ""
