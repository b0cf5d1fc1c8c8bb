"""What is claimed: by the paper, by this project and by the rivals' papers.

A claim is an entry of a list. `comvae.results.verdicts` judges all by one rule.
"""

from dataclasses import dataclass

from comvae.results.quantities import RUNNING
from comvae.results.statistics import Term

PAPER = "the paper"
OURS = "this project"
RIVALS = "the rivals' papers"


@dataclass(frozen=True)
class Part:
    """A sum over models that a claim says is greater than `at_least`, in nats."""

    split: str  # for the table; each term names its own
    metric: str  # a column of runs.csv
    terms: tuple[Term, ...]  # weight, model, split
    at_least: float = 0.0

    @property
    def definition(self) -> str:
        """The sum in words: `vanilla - compound-mixture on test`."""
        one_split = {split for _, _, split in self.terms} == {self.split}
        text = ""
        for weight, model, split in self.terms:
            sign = "-" if weight < 0 else "+"
            text += f" {sign} {model}" + ("" if one_split else f" {split}")
        return text.removeprefix(" + ") + (f" on {self.split}" if one_split else "")


@dataclass(frozen=True)
class Claim:
    """A claim is the conjunction of its parts; `source` says whose it is."""

    name: str
    statement: str
    parts: tuple[Part, ...]
    source: str = PAPER

    @property
    def models(self) -> set[str]:
        """Those that it is about."""
        return {model for part in self.parts for _, model, _ in part.terms}


def smaller(
    metric: str, model: str, than: str, split: str = "test", by: float = 0.0
) -> Part:
    """`metric` of `model` is smaller than that of another model by more than `by`."""
    return Part(split, metric, ((1, than, split), (-1, model, split)), by)


def larger(
    metric: str, model: str, than: str, split: str = "test", by: float = 0.0
) -> Part:
    """`metric` of `model` is larger than that of another model by more than `by`."""
    return Part(split, metric, ((1, model, split), (-1, than, split)), by)


def generalises(metric: str, model: str, than: str) -> Part:
    """`metric` of `model` grows less from training images to test images than that of
    another model does."""
    terms = ((1, than, "test"), (-1, than, "train"))
    return Part("test", metric, (*terms, (-1, model, "test"), (1, model, "train")))


def _needed(name: str, what: str, ablation: str) -> Claim:
    return Claim(
        f"{name}-needed",
        f"Without {what} the compound model with the mixture prior has a higher L_rec "
        "+ D_KL on test images.",
        (smaller("negative_elbo", "compound-mixture", than=ablation),),
    )


DBNN = "DBNN layers for the mean and the scale of z"
COLLAPSE = 5.0  # nats per image; the paper's collapse is one of 44 and more

CLAIMS = (
    Claim(
        "simplified-gaussian-beats-vanilla",
        "The simplified model with a Gaussian prior has a lower L_rec + D_KL than the "
        "vanilla VAE on test images.",
        (smaller("negative_elbo", "simplified-gaussian", than="vanilla"),),
    ),
    Claim(
        "simplified-mixture-beats-vanilla",
        "The simplified model with the mixture prior has a lower L_rec + D_KL than the "
        "vanilla VAE on test images.",
        (smaller("negative_elbo", "simplified-mixture", than="vanilla"),),
    ),
    Claim(
        "compound-mixture-beats-vanilla",
        "The compound model with the mixture prior has both a lower L_rec and a lower "
        "L_rec + D_KL than the vanilla VAE on test images.",
        (
            smaller("reconstruction", "compound-mixture", than="vanilla"),
            smaller("negative_elbo", "compound-mixture", than="vanilla"),
        ),
    ),
    Claim(
        "compound-gaussian-collapses",
        "The compound model with a Gaussian prior collapses on test images: its "
        f"L_rec + D_KL there is more than {COLLAPSE:g} nats above that of the vanilla "
        "VAE, it exceeds its own average over the last training epoch by more than "
        f"{COLLAPSE:g} nats more than the vanilla VAE's does, and its D_KL and the "
        "mutual information of images and latents are lower.",
        (
            smaller("latent_kl", "compound-gaussian", than="vanilla"),
            smaller("mutual_information", "compound-gaussian", than="vanilla"),
            smaller("negative_elbo", "vanilla", than="compound-gaussian", by=COLLAPSE),
            Part(
                "test",
                "negative_elbo",
                (
                    (1, "compound-gaussian", "test"),
                    (-1, "compound-gaussian", RUNNING),
                    (-1, "vanilla", "test"),
                    (1, "vanilla", RUNNING),
                ),
                COLLAPSE,
            ),
        ),
    ),
    _needed("dbnn-for-mu-and-sigma", DBNN, "compound-mixture-static-latent"),
    _needed("kl-reweighting", "KL reweighting", "compound-mixture-unweighted"),
    _needed("batch-norm", "batch norm", "compound-mixture-no-batchnorm"),
    Claim(
        "simplified-mixture-narrows-gap",
        "The simplified model with the mixture prior has a narrower amortization gap "
        "than the vanilla VAE on test images.",
        (smaller("amortization_gap", "simplified-mixture", than="vanilla"),),
    ),
    Claim(
        "compound-mixture-narrows-gap",
        "The compound model with the mixture prior has a narrower amortization gap "
        "than the vanilla VAE on test images.",
        (smaller("amortization_gap", "compound-mixture", than="vanilla"),),
    ),
)

OOD_CLAIMS = tuple(
    Claim(
        f"{model}-flags-foreign-images",
        f"The variance of the ELBO over the weight draws of {what} tells foreign "
        "images from test images better than vanilla's gap does (area under the ROC "
        "curve).",
        (Part("test", "foreign_own", ((1, model, "test"), (-1, "vanilla", "test"))),),
        OURS,
    )
    for model, what in (
        ("simplified-mixture", "the simplified model with the mixture prior"),
        ("compound-mixture", "the compound model with the mixture prior"),
        ("compound-mixture-rank-16", "the compound model with maps of rank 16"),
    )
)
"""Those of a study that names foreign datasets, `ood`."""

GAP = "amortization_gap"


def _rivals(name: str, whose: str, statement: str, *parts: Part) -> Claim:
    return Claim(name, f"{statement} ({whose}).", parts, RIVALS)


RIVAL_CLAIMS = (
    _rivals(
        "half-asleep-generalises",
        "Zhang, Hayes and Barber 2022",
        "With half-asleep training of its encoder vanilla has a narrower amortization "
        "gap on test images, also than with as much training on data alone, and on "
        "training images it narrows by less or not at all",
        smaller(GAP, "half-asleep", than="vanilla"),
        smaller(GAP, "half-asleep", than="wake"),
        generalises(GAP, "half-asleep", than="vanilla"),
    ),
    _rivals(
        "sa-vae-beats-svi",
        "Kim et al. 2018",
        "A VAE that is trained through 10 steps of SVI has a lower L_rec + D_KL on "
        "test images than vanilla with as many steps at test time",
        smaller("negative_elbo", "sa-vae", than="svi-10"),
    ),
    _rivals(
        "aggressive-raises-mutual-information",
        "He et al. 2019",
        "Aggressive training of its encoder raises vanilla's mutual information of "
        "test images and latents",
        larger("mutual_information", "aggressive", than="vanilla"),
    ),
    _rivals(
        "ia-vae-beats-vanilla",
        "Pollastro et al. 2026",
        "Encoder weights that a deterministic network adapts to each image give a "
        "lower L_rec + D_KL than vanilla's on test images, and a narrower "
        "amortization gap",
        smaller("negative_elbo", "ia-vae", than="vanilla"),
        smaller(GAP, "ia-vae", than="vanilla"),
    ),
    _rivals(
        "denoising-regularises-inference",
        "Shu et al. 2018",
        "Noise on its encoder's input gives vanilla a narrower amortization gap and a "
        "higher log p(x) on test images",
        smaller(GAP, "denoising", than="vanilla"),
        larger("log_px", "denoising", than="vanilla"),
    ),
    _rivals(
        "iwae-trades-inference-for-likelihood",
        "Burda et al. 2016, Rainforth et al. 2018",
        "The bound of 50 importance weights raises log p(x) of test images over "
        "vanilla's, and widens the amortization gap",
        larger("log_px", "iwae-50", than="vanilla"),
        larger(GAP, "iwae-50", than="vanilla"),
    ),
    _rivals(
        "flow-beats-vanilla",
        "Rezende and Mohamed 2015",
        "A normalising flow as the posterior gives a lower L_rec + D_KL on test images "
        "than vanilla's Gaussian",
        smaller("negative_elbo", "flow", than="vanilla"),
    ),
)
"""Those that are judged where a study has every model that they are about."""

SOURCES = {claim.name: claim.source for claim in (*OOD_CLAIMS, *RIVAL_CLAIMS)}


def of_source(claim: str) -> str:
    """Whose claim it is, by its name."""
    return SOURCES.get(claim, PAPER)
