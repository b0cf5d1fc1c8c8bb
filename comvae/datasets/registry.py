"""The datasets that a study can name. A dataset is added with one entry here.

The checksums of MNIST and Fashion-MNIST are of the decompressed files. For EMNIST
only those of the gzipped members and of the zip are known, as they are published.
"""

from comvae.datasets.source import (
    PARTS,
    Archive,
    Bundled,
    DatasetSource,
    IdxFile,
    IdxFiles,
)

DIGITS_SHA256 = (
    "5760f944f9d4583320655eb3932bdbb8a1d7ecccece1d5e8ac73699a93fdf434",
    "33fe81a53fa12d9cd119c74adab9b6b08a7d070ee62e736390c5cf89f00886b1",
    "3cc232bd25364446c8646cd9434a26e35ea92e20045d395b2fdd2232a75c9b8f",
    "70ee2850bb25b543ca4112717fd4396c3fb90bcb54d8015bd3f9c7c900966072",
)
EMNIST_ZIP = Archive(
    name="gzip.zip",
    urls=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",),
    folder="gzip",
    size=561_753_746,
    sha256="fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
)


def _mnist_like(
    title: str, folder: str, publishers: tuple[str, ...], *sha256: str
) -> DatasetSource:
    """MNIST or a drop-in replacement; checksums of the contents, as PARTS are."""
    names = ["train-images-idx3", "train-labels-idx1"]
    names += ["t10k-images-idx3", "t10k-labels-idx1"]
    files = {
        part: IdxFile(f"{name}-ubyte.gz", sha256=checksum)
        for part, name, checksum in zip(PARTS, names, sha256, strict=True)
    }
    return DatasetSource(
        title=title,
        origin=IdxFiles(folder=folder, files=files, publishers=publishers),
        train=60_000,
        test=10_000,
        height=28,
        width=28,
        classes=10,
    )


def _emnist(
    split: str,
    *gzip_sha256: str,
    classes: int,
    images: tuple[int, int],
    first_label: int = 0,
) -> DatasetSource:
    """A split of EMNIST; checksums of the gzipped files, as PARTS are."""
    files = {}
    for part, checksum in zip(PARTS, gzip_sha256, strict=True):
        kind = "idx3" if part.endswith("images") else "idx1"
        name = f"emnist-{split}-{part}-{kind}-ubyte.gz"
        files[part] = IdxFile(name, gzip_sha256=checksum)
    return DatasetSource(
        title=f"EMNIST {split}",
        origin=IdxFiles(folder="emnist", files=files, archive=EMNIST_ZIP),
        train=images[0],
        test=images[1],
        height=28,
        width=28,
        classes=classes,
        transposed=True,
        first_label=first_label,
    )


REGISTRY: dict[str, DatasetSource] = {
    "digits": DatasetSource(
        title="Handwritten digits, 8x8",
        origin=Bundled(
            package="scikit-learn",
            reader="comvae.datasets.digits:read",
            changes=(
                "split 80/20, stratified by label: "
                "train_test_split(test_size=0.2, random_state=0)",
            ),
            sha256=dict(zip(PARTS, DIGITS_SHA256, strict=True)),
        ),
        train=1437,
        test=360,
        height=8,
        width=8,
        classes=10,
        pixel_max=16,
    ),
    "mnist": _mnist_like(
        "MNIST",
        "mnist",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion-mnist": _mnist_like(
        "Fashion-MNIST",
        "fashion-mnist",
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        ),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    "emnist-mnist": _emnist(
        "mnist",
        "5f9942f441031c0f1f2e4d162059fd6e19ea808b34c328b6d16cab0ed24c78f2",
        "00c6d3c2342fdffb1711e0b5656cac4ce5862d2826399d383a9bac07d612e9f8",
        "b25640fa9e356c618132f5df347c95ef5bae6d9c2596be1de40f7e0ae1c3eac6",
        "bcc5385d38f083dba046f5f756e99b32f5ea7fad122c6243c71c2239873065ca",
        classes=10,
        images=(60_000, 10_000),
    ),
    "emnist-letters": _emnist(
        "letters",
        "6288f418a917e007bf5fddb823a2dc7a5c6a35031401b93292a539cb12bd881f",
        "9759af91ea6bccdf07a6040fd085861f2ec88e37f7c3f5760f6feb57106fbe5c",
        "50f0e93d75b99b463e9760b8345866f22587fa2c2fba472730a5ba09c693412d",
        "924955c31fe7fd809b7303b5c0141282955f4b8390c74cdfd5d80435e0f4b4cb",
        classes=26,
        images=(124_800, 20_800),
        first_label=1,
    ),
    "emnist-balanced": _emnist(
        "balanced",
        "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4",
        "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed",
        "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db",
        "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd",
        classes=47,
        images=(112_800, 18_800),
    ),
    "emnist-digits": _emnist(
        "digits",
        "f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726",
        "6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e",
        "20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63",
        "bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0",
        classes=10,
        images=(240_000, 40_000),
    ),
    "emnist-bymerge": _emnist(
        "bymerge",
        "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be",
        "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1",
        "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683",
        "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35",
        classes=47,
        images=(697_932, 116_323),
    ),
    "emnist-byclass": _emnist(
        "byclass",
        "9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0",
        "f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa",
        "5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd",
        "501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a",
        classes=62,
        images=(697_932, 116_323),
    ),
}
