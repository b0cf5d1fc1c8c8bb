"""The options of a model: each a reading of the paper (docs/paper.md).

A model is an entry of `config/models.yaml`, a named composition of these options.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from comvae.model.priors import WeightPrior
from comvae.model.settings import Number, Positive, PositiveNumber, Settings

LAYERS = {
    "linear": "comvae.model.layers:Linear",
    "bayesian": "comvae.model.layers:BayesianLinear",
    "dynamic": "comvae.model.layers:DynamicBayesianLinear",
    "adaptive": "comvae.model.adaptive:AdaptiveLinear",
}
OBJECTIVES = {
    "elbo": "comvae.model.vae:elbo",
    "iwae": "comvae.model.iwae:iwae",
    "half-asleep": "comvae.model.half_asleep:half_asleep",
    "sa-vae": "comvae.model.sa_vae:sa_vae",
}
POSTERIORS = {
    "gaussian": "comvae.model.posterior:Gaussian",
    "flow": "comvae.model.flow:Flow",
}
ENCODERS = {"feedforward": "comvae.model.vae:Encoder"}
"""Parts of a model by name, and where they are: another one is a file of this package
and an entry here. They are named, not imported: settings are validated without torch.
An objective is a function of a VAE, images and a mode that gives `Terms`."""

Layer = Literal[*LAYERS]
Count = Annotated[int, Field(ge=0)]


class StaticBayesian(Settings):
    """A Bayesian layer whose weight distribution is the same for every image."""

    rho_init: Number = Field(
        -5.0,
        description="Initial rho of every weight, where sigma = softplus(rho): -5 is "
        "sigma 0.0067. An initial -3 costs 3 nats.",
    )
    draws: Literal["minibatch", "image"] = Field(
        "minibatch",
        description="One weight draw for all images of a minibatch (Blundell et al. "
        "2015), or one for each image.",
    )


class DynamicBayesian(Settings):
    """A DBNN layer, whose weight distribution depends on the image (section 2.2)."""

    mu_scale: PositiveNumber | None = Field(
        None,
        description="Initial scale of the weight means. With batch norm it is the "
        "initial gamma of mu_w and mu_b; without, the factor on their maps. "
        "Default: 1/sqrt(fan_in).",
    )
    mu_shift: Number = Field(
        0.0, description="Initial shift of the weight means (beta of mu_w and mu_b)."
    )
    rho_scale: PositiveNumber = Field(
        0.1,
        description="Initial scale of rho around its shift: the initial gamma of rho_w "
        "and rho_b with batch norm; without, the factor on their maps.",
    )
    rho_shift: Number = Field(
        -3.0,
        description="Initial shift of rho. Taken literally (no shift) sigma starts at "
        "0.69 and drowns the signal.",
    )
    normalise_input: bool = Field(
        True,
        description="Without batch norm only: the maps read the layer's input divided "
        "by its root mean square, so that the size of an image does not set the size "
        "of its weights. A first attempt without it diverged on MNIST.",
    )
    rank: Positive | None = Field(
        None,
        description="Each of the four maps is a product of this rank, fan_in -> rank "
        "-> outputs, whose first factor mu_w and mu_b share, and rho_w and rho_b. "
        "Default: full maps.",
    )


class Adaptive(Settings):
    """A layer of weights that all images share, plus a change made from the image."""

    rank: Count = Field(
        16,
        description="Numbers that a layer makes from its input: the weights change by "
        "as many tensors, weighted with them. 0: a plain layer.",
    )


class Flow(Settings):
    """A posterior of coupling layers."""

    layers: Count = Field(
        4, description="Coupling layers; without any it is the diagonal Gaussian."
    )
    hidden: Positive = Field(32, description="Hidden units of a layer's network.")
    context: Positive = Field(
        8, description="Outputs of the encoder that the networks read."
    )


class SVI(Settings):
    """Steps up an image's ELBO from what the encoder gives (Kim et al. 2018)."""

    steps: Positive = Field(10, description="Steps for each image.")
    rate: PositiveNumber = Field(
        0.02,
        description="Step size in mean and log variance. The source has 1, for the "
        "mean ELBO of a batch of 50 images, which is 1/50 for each.",
    )
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.5, description="Share of the last step in the next one."
    )
    clip: PositiveNumber = Field(
        35.0,
        description="Greatest norm of an image's slope along the means, and along the "
        "log variances, in nats. The source has 5, of the mean of 50 images, which is "
        "about 35 of each.",
    )
    draws: Positive = Field(
        8,
        description="Latents that a step's slope is a mean over. The source has 1, "
        "whose noise alone costs more nats than a small model's encoder.",
    )


class ModelOptions(Settings):
    """One model: a named composition of the readings of the paper."""

    title: str = Field(description="The model's name in tables and charts.")
    control: bool = Field(
        False,
        description="A control that the paper lacks: `models: all` leaves it out, a "
        "study names it.",
    )
    rival: bool = Field(
        False,
        description="Another answer to the amortization gap than the paper's: "
        "rivals.csv sets it beside the paper's models, with its price "
        "(docs/rivals.md).",
    )
    reading_of: str | None = Field(
        None,
        description="The model of Table 1 that this is another reading of: "
        "readings.csv sets them beside each other (docs/paper.md).",
    )
    hidden_layer: Layer = Field(
        "linear",
        description="Hidden layers of the encoder: `linear` weights, `bayesian` (one "
        "weight distribution), `dynamic` (DBNN: one weight distribution per image), "
        "`adaptive` (weights with a low-rank change made from the image).",
    )
    latent_layer: Layer = Field(
        "linear",
        description="The two layers of the encoder that give the mean and the scale of "
        "the latents.",
    )
    hidden_layers: Positive = Field(
        1, description="Hidden layers in the encoder, and in the decoder."
    )
    encoder_hidden: Positive | Literal["match-dynamic"] | None = Field(
        None,
        description="Width of the encoder's hidden layers where it is not "
        "`training.hidden`; `match-dynamic`: as wide as the parameters allow that the "
        "compound encoder of the same study has. The decoder keeps `training.hidden`.",
    )
    weight_prior: WeightPrior | None = Field(
        None,
        description="Prior over the weights of Bayesian layers, by name (`gaussian`, "
        "`mixture`) or with its parameters. Required where weights are random.",
    )
    weight_noise: bool = Field(
        True,
        description="Whether the weights of Bayesian layers are random. Without, a "
        "layer has its weight means alone: no noise, no rho, no weight KL.",
    )
    bayesian: StaticBayesian = StaticBayesian()
    dynamic: DynamicBayesian = DynamicBayesian()
    adaptive: Adaptive = Field(Adaptive(), description="Layers `adaptive`.")
    input_noise: Annotated[Number, Field(ge=0)] = Field(
        0.0,
        description="Standard deviation of normal noise on the pixels that the encoder "
        "reads, in training alone (Shu et al. 2018).",
    )
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Probability that a hidden unit of the encoder is left out, in "
        "training and, as random as weights are, in evaluation (Gal and Ghahramani "
        "2016); `mean-weights` leaves none out.",
    )
    batch_norm_maps: bool = Field(
        False,
        description="Batch norm on mu_w, rho_w, mu_b and rho_b of every DBNN layer "
        "(section 2.2.3).",
    )
    batch_norm_hidden: bool = Field(
        False,
        description="Batch norm on the hidden vectors of the encoder before ReLU "
        "(section 2.2.3).",
    )
    batch_norm_momentum: (
        Annotated[Number, Field(gt=0, le=1)] | Literal["cumulative"]
    ) = Field(
        0.1,
        description="Weight of the newest batch in the running statistics; "
        "`cumulative`: they are means over all batches of the training.",
    )
    weight_kl: Literal["auto", "sampled"] = Field(
        "auto",
        description="`auto`: closed form where the prior has one, else the one-sample "
        "estimate with the weights of the data term; `sampled`: always the estimate.",
    )
    weight_kl_over_images: Literal["mean", "sum"] = Field(
        "mean",
        description="How the weight KLs of a minibatch's images become one number in a "
        "DBNN layer, which has one KL per image.",
    )
    complexity_weights: Literal["blundell", "uniform", "none"] = Field(
        "blundell",
        description="Weight pi_i of the weight KL in minibatch i of M: `blundell` "
        "2^-i / (1 - 2^-M), restarted every epoch; `uniform` 1/M, the plain minibatch "
        "ELBO; `none` 1.",
    )
    data_term: Literal["mean", "sum"] = Field(
        "mean",
        description="How reconstruction and latent KL of a minibatch's images are "
        "reduced beside the weighted weight KL.",
    )
    likelihood: Literal["bernoulli", "continuous-bernoulli"] = Field(
        "bernoulli",
        description="Decoder likelihood of pixels in [0, 1]: Bernoulli cross-entropy "
        "with logits, summed over pixels (the scale of Table 1), or the normalised "
        "continuous Bernoulli.",
    )
    latent_scale: Literal["softplus", "exp"] = Field(
        "softplus",
        description="Standard deviation of the latents from the encoder's output s: "
        "softplus(s), or exp(s/2), which explodes with input-dependent weights.",
    )

    objective: Literal[*OBJECTIVES] = Field(
        "elbo",
        description="What training maximises: `elbo`, eq. (4), or `iwae`, the "
        "importance-weighted bound (Burda et al. 2016).",
    )
    latent_draws: Positive = Field(
        1, description="Draws of z for each image in the bound of `iwae`."
    )
    posterior: Literal[*POSTERIORS] = Field(
        "gaussian",
        description="Family of q(z given x): `gaussian`, diagonal, or `flow`, coupling "
        "layers on it (Dinh et al. 2017).",
    )
    flow: Flow = Field(Flow(), description="`posterior: flow`.")
    encoder: Literal[*ENCODERS] = Field(
        "feedforward", description="Network of the encoder: layers one after the other."
    )
    starts_from: str | None = Field(
        None,
        description="The model whose finished block of the same dataset, seeds and "
        "training settings this one starts from. It is trained where a study does not "
        "name it.",
    )
    trains: Literal["all", "encoder", "nothing"] = Field(
        "all",
        description="What training changes: `all`; the `encoder`, for the decoder of "
        "`starts_from` as it is; `nothing`: the block of `starts_from` itself, for "
        "another `evaluated_encoder`.",
    )
    inner_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Most steps of the encoder alone before each step of the decoder, "
        "until the encoder lags no more (He et al. 2019). 0: both take each step "
        "together.",
    )
    evaluated_encoder: Literal["model", "prior", "optimal", "svi"] = Field(
        "model",
        description="Which q(z given x) is evaluated with the trained decoder: the "
        "encoder that was trained with it, the prior for every image, the best "
        "diagonal Gaussian of each image, or the encoder after the steps of `svi`.",
    )
    svi: SVI = SVI()

    @model_validator(mode="after")
    def _start_where_needed(self) -> "ModelOptions":
        if self.trains != "all" and self.starts_from is None:
            raise ValueError(
                f"`trains` is `{self.trains}`, but `starts_from` names no model whose "
                "decoder that leaves as it is"
            )
        return self

    @model_validator(mode="after")
    def _prior_where_needed(self) -> "ModelOptions":
        bayesian = {self.hidden_layer, self.latent_layer} & {"bayesian", "dynamic"}
        if bayesian and self.weight_noise and self.weight_prior is None:
            raise ValueError(
                "a model with `bayesian` or `dynamic` layers needs a `weight_prior`: "
                "`gaussian` or `mixture`"
            )
        if not bayesian and self.weight_prior is not None:
            raise ValueError("`weight_prior` is set, but no layer is Bayesian")
        if not bayesian and not self.weight_noise:
            raise ValueError("`weight_noise` is false, but no layer is Bayesian")
        if not self.weight_noise and self.weight_prior is not None:
            raise ValueError(
                "`weight_prior` is set, but `weight_noise` is false: weights without "
                "noise have no prior"
            )
        return self

    @model_validator(mode="after")
    def _draws_where_used(self) -> "ModelOptions":
        if self.objective == "elbo" and self.latent_draws != 1:
            raise ValueError(
                f"`latent_draws` is {self.latent_draws}, but the objective `elbo` has "
                "one draw; expected `objective: iwae`"
            )
        return self

    @property
    def random_encoder(self) -> bool:
        """Whether q(z given x) is drawn anew each time: its weights or hidden units."""
        return self.weight_prior is not None or self.dropout > 0
