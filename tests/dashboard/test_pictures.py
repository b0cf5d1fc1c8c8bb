"""The page Pictures: same images, widest gaps, samples, traversals and posteriors."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from comvae.errors import ResultsError
from comvae.results.index import load_index
from comvae.results.pictures import load_arrays
from dashboard import gallery
from dashboard.charts.tiles import Row, sheet
from dashboard.elements import Chart
from dashboard.render.vega import picture
from dashboard.sharp import enlarged
from tests.dashboard.studies import BLOCK, FEW, TITLES, edit, write_study
from tests.dashboard.visitor import (
    buttons,
    charts,
    frame,
    frames,
    headers,
    show,
    text,
    warned,
)
from tests.results.written import GAP_IMAGES, folder_of, write_pictures


def folder(results, model):
    return folder_of(results, "evaluations", model, BLOCK)


def tiles(chart):
    """The table of a chart's images, in its order."""
    return frame(chart, "url")


def pixels(url):
    head, _, content = url.partition(",")
    assert head == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))))


def run_of(results, model, seed=0):
    runs = load_index(results).runs
    return next(run for run in runs if (run.model, run.seed) == (model, seed))


# All results


def test_every_section_is_there(whole):
    app = show("pictures")
    assert len(headers(app)) == 5 and not app.warning and not app.info
    assert len(charts(app)) == 3 + 2 + 3
    pictured = [image.alt for element in app.image for image in element.proto.imgs]
    assert pictured == ["Test image 14.", "Test image 2.", "Test image 8."]
    saved = ["reconstructions", "widest-gaps", "samples"]
    saved += ["traversal-prior", "traversal-image-8"]
    assert {f"{name}.svg" for name in saved} <= set(buttons(app))
    assert app.query_params == {}


def test_reconstructions_are_those_of_the_files(whole):
    app = show("pictures", seed="1", models="compound-mixture,vanilla")
    table = tiles(charts(app)[0])
    rows = ["Original test images", TITLES[2], TITLES[0]]
    assert list(dict.fromkeys(table["row"])) == rows
    with np.load(folder(whole, "vanilla") / "pictures" / "seed-1.npz") as archive:
        stored = dict(archive)
    for row, name in [
        ("Original test images", "original"),
        (TITLES[0], "reconstruction"),
    ]:
        shown = table[table["row"] == row].sort_values("place")
        assert len(shown) == 16
        for url, expected in zip(shown["url"], stored[name], strict=True):
            assert np.array_equal(pixels(url), expected)
    tips = table.loc[table["row"] == TITLES[0], "tip"].tolist()
    assert tips[3] == "image 3: error 8.00 nats"  # 5 + place 0 + image 3
    assert (
        "The mean reconstruction error over 16 test images is lowest for Vanilla VAE, "
        "12.50 nats, and highest for Compound, mixture prior, 14.50 nats." in text(app)
    )


def test_widest_gaps_come_first_with_their_nats(whole):
    app = show("pictures", seed="2", under="compound-mixture")
    table = tiles(charts(app)[1])
    rows = list(dict.fromkeys(table["row"]))
    # the model asked for comes first, then the others in their order
    assert rows[1:] == [TITLES[2], TITLES[0], TITLES[1]]
    numbers = table.loc[table["row"] == rows[0], "note"].tolist()
    assert numbers == [str(image) for image in reversed(GAP_IMAGES)]
    # the amortization gap of results_fixture.gap_value: 2 + 0.1 image - 0.2 place
    notes = table.loc[table["row"] == TITLES[2], "note"].tolist()
    assert notes == [f"{2 + 0.1 * i - 0.4:.2f}" for i in reversed(GAP_IMAGES)]
    notes = table.loc[table["row"] == TITLES[0], "note"].tolist()
    assert notes == [f"{2 + 0.1 * i:.2f}" for i in reversed(GAP_IMAGES)]
    assert (
        "Amortization gap of Compound, mixture prior: 3.00 nats on image 14, the "
        "widest of 8; the median is 2.30 nats." in text(app)
    )
    first = table[table["row"] == TITLES[0]].iloc[0]
    with np.load(folder(whole, "vanilla") / "pictures" / "seed-2.npz") as archive:
        assert np.array_equal(pixels(first["url"]), archive["reconstruction"][14])
    app.selectbox(key="gap").set_value("approximation_gap").run()
    assert "Approximation gap of Compound, mixture prior: 1.52 nats" in text(app)
    assert app.query_params["gap"] == "approximation_gap"


def test_traversals_put_the_most_used_latent_first(whole):
    app = show("pictures", of="compound-mixture", around="8")
    table = tiles(charts(app)[3])
    # deviations 0.6, 0.2 and 1: latent 2 is used most, latent 3 is its prior
    assert list(dict.fromkeys(table["row"].str.split(",").str[0])) == ["z2", "z1", "z3"]
    assert table["row"].iloc[-1] == "z3, 0.00 nats"
    assert table["tip"].tolist()[:3] == [f"z2 = {v}" for v in ("\u22123", "0", "+3")]
    with np.load(folder(whole, "compound-mixture") / "pictures" / "seed-0.npz") as npz:
        assert np.array_equal(pixels(table["url"].iloc[1]), npz["traversal"][0, 1, 1])
    assert "Compound, mixture prior uses 2 of 3 latents" in text(app)
    assert "Around q(z|x) of image 8" in text(app)


def test_posteriors_stand_beside_the_prior(whole):
    app = show("pictures", images="4,12", models="vanilla,compound-mixture")
    assert len(charts(app)) == 3 + 2 + 2
    bars = frame(charts(app)[5], "deviation")
    assert len(bars) == 2 * 3
    row = bars[(bars["model"] == "compound-mixture") & (bars["rank"] == 1)].iloc[0]
    # image 4, place 2: (4 / 8 - 1 + 0.2) * 2 in latent 2, deviation 0.2
    assert row["dimension"] == 2
    assert row["mean"] == pytest.approx(-0.6, abs=1e-6)
    assert (row["low"], row["high"]) == pytest.approx((-0.8, -0.4), abs=1e-6)
    [prior] = [t for t in frames(charts(app)[5]) if list(t) == ["low", "high"]]
    assert prior.to_numpy().tolist() == [[-1.0, 1.0]]
    app.multiselect(key="images").set_value([]).run()
    assert "Choose at least one image above." in text(app) and not app.exception


# Choices


def test_vanilla_the_papers_own_the_best_and_the_worst_are_shown_at_first(results):
    others = ["simplified-gaussian", *FEW[1:], "compound-gaussian"]
    write_study(results, models=["vanilla", *others])
    means = {"compound-gaussian": 1.0, "simplified-mixture": 8.0}

    def rank(runs):
        return runs.assign(negative_elbo=runs["model"].map(means).fillna(2.0))

    edit(results, "runs", rank)
    chosen = show("pictures").multiselect(key="models").value
    assert chosen == ["vanilla", *FEW[1:], "compound-gaussian"]


def test_unknown_choices_fall_back(whole):
    app = show(
        "pictures",
        **dict(dataset="x", seed="<b>", models="no,*", under="?", gap="", of="$"),
        **dict(around="-7", images="99,<i>"),
    )
    assert len(charts(app)) == 8
    assert app.query_params["models"] == ",".join(FEW)


# Partial, failed and damaged results


def test_one_finished_block(results):
    write_study(results, missing=[("digits", m) for m in FEW if m != "vanilla"])
    app = show("pictures")
    assert len(charts(app)) == 8
    message = "The mean reconstruction error over 16 test images of Vanilla VAE is"
    assert message in text(app)
    assert warned(app) == [f"No pictures of {t}, seed 0 (missing)." for t in TITLES[1:]]


def test_a_failed_seed_has_no_pictures(results):
    lost = [("digits", "compound-mixture", seed) for seed in range(3)]
    write_study(results, failed=lost)
    stale = folder(results, "compound-mixture")  # of an earlier training
    write_pictures(stale, 0, 2)
    app = show("pictures", models=",".join(FEW))
    assert "No pictures of Compound, mixture prior, seed 0 (failed)." in text(app)
    assert TITLES[2] not in set(tiles(charts(app)[0])["row"])
    assert len(charts(app)) == 8


def test_one_model_without_gaps_is_shown_without_them(results):
    write_study(results, not_measured=[("digits", "simplified-mixture")])
    table = tiles(charts(show("pictures"))[1])
    notes = table.loc[table["row"] == TITLES[1], "note"]
    assert len(notes) == 8 and notes.eq("").all()


def test_evaluated_before_pictures_were_kept(whole):
    (folder(whole, "vanilla") / "pictures" / "seed-0.npz").unlink()
    app = show("pictures")
    assert "No pictures of Vanilla VAE, seed 0 (finished)." in text(app)
    assert "`make study` draws them" in app.info[0].value.replace("\\", "")
    assert len(charts(app)) == 8 and not app.warning


def without(name):
    def damage(path):
        with np.load(path) as archive:
            kept = {key: archive[key] for key in archive if key != name}
        np.savez_compressed(path, **kept)

    return damage


def replaced(**arrays):
    def damage(path):
        write_pictures(path.parents[1], 0, 0, **arrays)

    return damage


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(content))


def zipped(offset, bit):
    """A bit flipped in each entry of the archive's directory, and before each array."""

    def damage(path):
        content = bytearray(path.read_bytes())
        for mark, more in ((b"PK\x01\x02", 2), (b"PK\x03\x04", 0)):
            start = content.find(mark)
            while start >= 0:
                content[start + offset + more] ^= bit
                start = content.find(mark, start + 4)
        path.write_bytes(bytes(content))

    return damage


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (zipped(6, 1), "is no readable archive"),  # asks for a password
        (zipped(8, 64), "is no readable archive"),  # a compression that is none
        (lambda path: path.write_bytes(b""), "is no readable archive"),
        (lambda path: path.write_bytes(b"not,a\ntable\n"), "is no readable archive"),
        (cut, "is no readable archive"),
        (flipped, "is no readable archive"),
        (without("traversal"), "has no array `traversal`, expected image"),
        (replaced(mean=np.zeros((15, 3), np.float32)), "`mean` is float32 (15, 3)"),
        (replaced(mean=np.zeros(16, np.float32)), "`mean` is float32 (16,)"),
        (replaced(mean=np.full((16, 3), np.nan)), "`mean` is empty or holds"),
        (replaced(deviation=np.zeros((16, 3))), "`deviation` holds what is not pos"),
        (replaced(original=np.zeros((16, 4, 4))), "`original` is float64"),
        (replaced(sample=np.zeros((0, 4, 4), np.uint8)), "`sample` is empty or holds"),
        (replaced(image=np.array([{}] * 16)), "is no readable archive"),  # a pickle
        (replaced(image=np.array(["x"] * 16)), "`image` is <U1"),
        (replaced(traversal_image=np.int32(3)), "is no readable archive"),
    ],
)
def test_a_damaged_file_is_one_message(whole, damage, complaint):
    path = folder(whole, "vanilla") / "pictures" / "seed-0.npz"
    damage(path)
    with pytest.raises(ResultsError) as raised:
        load_arrays(run_of(whole, "vanilla"))
    message = str(raised.value)
    assert message.startswith(str(path)) and complaint in message
    assert "make study" in message and "\n" not in message


def test_a_damaged_file_is_named_and_the_others_are_shown(whole):
    cut(folder(whole, "vanilla") / "pictures" / "seed-0.npz")
    app = show("pictures")
    [warning] = warned(app)
    assert "vanilla" in warning and "is no readable archive of pictures" in warning
    assert len(charts(app)) == 8
    assert TITLES[0] not in set(tiles(charts(app)[0])["row"])


def test_models_share_the_images_that_all_have(whole):
    fewer = slice(6, 16)
    with np.load(folder(whole, "vanilla") / "pictures" / "seed-0.npz") as archive:
        own = ("image", "original", "reconstruction", "reconstruction_nats")
        part = {name: archive[name][fewer] for name in (*own, "mean", "deviation")}
    write_pictures(folder(whole, "vanilla"), 0, 0, **part)
    app = show("pictures")
    table = tiles(charts(app)[0])
    tips = table.loc[table["row"] == "Original test images", "tip"].tolist()
    assert tips == [f"image {i}" for i in range(6, 16)]
    assert "error over 10 test images" in text(app)
    part["image"] = np.arange(100, 110, dtype=np.int32)
    write_pictures(folder(whole, "vanilla"), 0, 0, **part)
    app = show("pictures")
    assert "pictured on other images each" in text(app) and not charts(app)


# Pieces


def test_spread_takes_images_from_all_parts():
    assert gallery.spread(range(100), 4) == [12, 37, 62, 87]
    assert gallery.spread([3, 5], 4) == [3, 5]


def test_the_kl_of_a_latent_is_that_of_gaussians(whole):
    kl = load_arrays(run_of(whole, "vanilla")).dimension_kl()
    means = np.arange(16) / 8 - 1
    first = 0.5 * ((means**2).mean() + 0.36 - 1) - np.log(0.6)
    assert kl == pytest.approx(
        [first, 0.5 * ((4 * means**2).mean() + 0.04 - 1) - np.log(0.2), 0], abs=1e-6
    )


def test_the_picture_to_keep_holds_every_image_and_word():
    images = np.arange(23 * 64, dtype=np.int64).reshape(23, 8, 8).astype(np.uint8)
    notes = [f"{i} & <b>" for i in range(23)]
    rows = [
        Row("plain \u03bc <script>", images, [""] * 23, notes),
        Row("A model", images[:3], [""] * 3),
    ]
    chart = Chart("x", None, "x", still=lambda dark: sheet(rows, dark))
    svg = picture(chart).decode()
    assert svg.count("<image") == 23 + 3 and "http://e" not in svg
    assert svg.count('xlink:href="data:image/png') == 26 and "<script>" not in svg
    for words in ("plain \u03bc &lt;script", "A model", "22 &amp; &lt;b&gt;"):
        assert words in svg


def test_pictures_are_enlarged_without_blur():
    small = Image.new("L", (2, 1))
    small.putpixel((1, 0), 255)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    large = Image.open(io.BytesIO(enlarged(buffer.getvalue(), "x.png")))
    assert large.size == (900, 450)
    assert sorted(colour for _, colour in large.getcolors()) == [0, 255]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n\0\0"])
def test_a_damaged_picture_is_one_message(content):
    with pytest.raises(ResultsError, match=r"x\.png: is not a readable PNG"):
        enlarged(content, "x.png")
