"""Blocks: which seeds train together, and that nothing on disk is trained again."""

import json

import pytest

from comvae.errors import ResultsError, SettingsError
from comvae.study.loading import load_study
from comvae.study.plan import (
    Plan,
    name_of,
    parents_of,
    parse_seeds,
    plan_blocks,
    plan_parents,
    relative_size,
    study_json,
)
from tests.support import ROOT, study_in


def study(**changes):
    values = {"study": "t", "datasets": ["digits"], "models": ["vanilla"], "seeds": 3}
    return load_study(
        values | changes, source="t.yaml", models=ROOT / "config" / "models.yaml"
    )


def seeds_of(catalogue, results) -> list[tuple[int, ...]]:
    return [block.seeds for block in plan_blocks(catalogue, results)]


def address(**changes) -> str:
    """The hash of the settings of a study's block of vanilla."""
    return study(**changes).run_config("digits", "vanilla", [0]).config_hash


def on_disk(results, *blocks):
    for seeds in blocks:
        folder = results / "runs" / "digits" / "vanilla" / address() / name_of(seeds)
        folder.mkdir(parents=True)
        (folder / "run.json").touch()


@pytest.mark.parametrize(
    "seeds,name",
    [((0, 1, 2), "seeds-0-2"), ((7,), "seeds-7"), ((0, 2, 3), "seeds-0,2,3")],
)
def test_names_of_blocks_tell_their_seeds(seeds, name):
    assert name_of(seeds) == name
    assert parse_seeds(name) == seeds


def test_a_new_study_is_cut_into_blocks(tmp_path):
    assert seeds_of(study(seeds=7), tmp_path) == [(0, 1, 2, 3, 4), (5, 6)]
    single = study(seeds=3, training={"seeds_per_block": 1})
    assert seeds_of(single, tmp_path) == [(0,), (1,), (2,)]


def test_more_seeds_add_a_block_and_keep_the_old(tmp_path):
    on_disk(tmp_path, (0, 1, 2))
    assert seeds_of(study(seeds=5), tmp_path) == [(0, 1, 2), (3, 4)]
    on_disk(tmp_path, (3, 4))
    assert seeds_of(study(seeds=[0, 1, 2, 3, 4, 9]), tmp_path) == [
        (0, 1, 2),
        (3, 4),
        (9,),
    ]


def test_fewer_seeds_use_only_blocks_within_them(tmp_path):
    on_disk(tmp_path, (0, 1), (2, 3))
    assert seeds_of(study(seeds=2), tmp_path) == [(0, 1)]
    assert seeds_of(study(seeds=3), tmp_path) == [(0, 1), (2,)]


def test_overlapping_blocks_on_disk_are_never_both_used(tmp_path):
    on_disk(tmp_path, (0, 1, 2), (2, 3), (0,))
    planned = seeds_of(study(seeds=4), tmp_path)
    assert sorted(seed for block in planned for seed in block) == [0, 1, 2, 3]


def test_of_overlapping_blocks_on_disk_the_larger_is_kept(tmp_path):
    on_disk(tmp_path, (0,), (1, 2), (0, 1, 2))
    assert seeds_of(study(seeds=4), tmp_path) == [(0, 1, 2), (3,)]


def test_blocks_of_other_settings_are_another_address(tmp_path):
    on_disk(tmp_path, (0, 1))
    assert seeds_of(study(), tmp_path) == [(0, 1), (2,)]
    longer = study(training={"epochs": 9})
    assert seeds_of(longer, tmp_path) == [(0, 1, 2)]
    assert address(training={"epochs": 9}) != address()


def test_foreign_folders_are_passed_over(tmp_path):
    on_disk(tmp_path, (0, 1))
    folder = tmp_path / "runs" / "digits" / "vanilla" / address() / "seeds-old"
    folder.mkdir()
    (folder / "run.json").touch()
    assert seeds_of(study(seeds=2), tmp_path) == [(0, 1)]


def test_plan_survives_its_file(tmp_path):
    catalogue = study(models=["vanilla", "compound-mixture"])
    blocks = plan_blocks(catalogue, tmp_path)
    study_in(tmp_path).mkdir(parents=True)
    (study_in(tmp_path) / "study.json").write_text(study_json(catalogue, blocks))
    plan = Plan.read(tmp_path)
    assert plan.blocks == blocks and plan.study == "t"
    assert plan.models["vanilla"] == "Vanilla VAE"


@pytest.mark.parametrize("text", [None, "", "{}", json.dumps({"blocks": [{}]})])
def test_an_unreadable_plan_says_what_to_do(text, tmp_path):
    if text is not None:
        study_in(tmp_path).mkdir(parents=True)
        (study_in(tmp_path) / "study.json").write_text(text)
    with pytest.raises(ResultsError, match=r"study\.json.*run `snakemake`"):
        Plan.read(tmp_path)


def test_a_name_too_long_for_a_folder_is_refused(tmp_path):
    odd = study(seeds=list(range(1, 400, 2)), training={"seeds_per_block": 100})
    with pytest.raises(SettingsError, match="seeds_per_block: found 100"):
        plan_blocks(odd, tmp_path)
    row = study(seeds=1000, training={"seeds_per_block": 1000})
    assert [block.name for block in plan_blocks(row, tmp_path)] == ["seeds-0-999"]


def test_size_is_that_of_seeds_images_and_pixels():
    assert relative_size("mnist", "seeds-0") == 1
    assert relative_size("mnist", "seeds-0-4") == 5
    assert relative_size("emnist-mnist", "seeds-3,7") == 2
    study(datasets={"names": ["mnist"], "pool": 2})
    assert relative_size("mnist", "seeds-0-4") == 5 / 4
    digits = relative_size("digits", "seeds-0")
    assert digits == pytest.approx(1437 * 64 / (60_000 * 784))


def parents(catalogue, results) -> list[tuple]:
    blocks = plan_blocks(catalogue, results)
    found = plan_parents(catalogue, blocks, results)
    return [(block.model, block.seeds, block.config_hash) for block in found]


def test_what_a_model_starts_from_is_planned_too(tmp_path):
    both = {"half-asleep": 5, "wake": [0, 6]}
    alone = study(models=list(both), seeds=both)
    assert parents(alone, tmp_path) == [
        ("vanilla", (0, 1, 2, 3, 4), address()),
        ("vanilla", (6,), address()),
    ]
    assert list(alone.models) == list(both) and list(alone.parents) == ["vanilla"]


def test_what_a_study_has_it_does_not_plan_twice(tmp_path):
    named = study(models=["half-asleep", "vanilla"])
    assert parents(named, tmp_path) == [] and not named.parents
    fewer = study(
        models=["half-asleep", "vanilla"], seeds={"half-asleep": 3, "vanilla": 2}
    )
    assert parents(fewer, tmp_path) == [("vanilla", (2,), address())]
    blocks = plan_blocks(fewer, tmp_path)
    known = blocks + plan_parents(fewer, blocks, tmp_path)
    child = next(block for block in blocks if block.model == "half-asleep")
    assert [each.seeds for each in parents_of(fewer, child, known)] == [(0, 1), (2,)]


def test_another_parent_is_another_block():
    """Its hash is part of the child's, which no other model has."""

    def half_asleep(**training):
        made = study(models=["half-asleep"], training=training)
        return made.run_config("digits", "half-asleep", [0])

    assert half_asleep().parent == address()
    assert half_asleep(tf32=True).config_hash == half_asleep().config_hash
    other = half_asleep().model_copy(update={"parent": "0" * 12})
    assert other.config_hash != half_asleep().config_hash
    assert study().run_config("digits", "vanilla", [0]).parent == ""


def test_a_chain_is_planned_to_its_end(tmp_path):
    models = {
        "a": {"title": "A"},
        "b": {"title": "B", "starts_from": "a", "trains": "encoder"},
        "c": {"title": "C", "starts_from": "b", "trains": "nothing"},
    }
    path = tmp_path / "models.yaml"
    path.write_text(json.dumps(models))
    values = {"study": "t", "datasets": ["digits"], "models": ["c"], "seeds": 2}
    chain = load_study(values, source="t.yaml", models=path)
    assert [name for name, *_ in parents(chain, tmp_path)] == ["b", "a"]


@pytest.mark.parametrize(
    "models,words",
    [
        ({"a": {"starts_from": "z"}}, "a: starts_from: found 'z'. Unknown model `z`"),
        ({"a": {"starts_from": "a"}}, "These start from each other: a."),
        (
            {"a": {"starts_from": "b"}, "b": {"starts_from": "a"}},
            "These start from each other: a, b",
        ),
        (
            {"a": {"starts_from": "b"}, "b": {"hidden_layers": 2}},
            "Its `hidden_layers` is 2, and 1 here; set the same",
        ),
        ({"a": {"trains": "encoder"}}, "`starts_from` names no model"),
    ],
)
def test_what_cannot_be_started_from_is_one_message(models, words, tmp_path):
    path = tmp_path / "models.yaml"
    titled = {name: {"title": "T"} | options for name, options in models.items()}
    path.write_text(json.dumps(titled))
    with pytest.raises(SettingsError) as error:
        load_study(
            {"study": "t", "datasets": ["digits"], "models": ["a"], "seeds": 1},
            source="t.yaml",
            models=path,
        )
    assert words in str(error.value)
