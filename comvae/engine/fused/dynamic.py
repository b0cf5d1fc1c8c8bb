"""The step of an encoder of DBNN layers, in C on a CPU; dynamic.c says how."""

from ctypes import Structure, addressof, byref, c_float, c_int32, c_void_p

import torch
from torch import Tensor

from comvae.engine.fused import native
from comvae.engine.fused.formula import formula_of
from comvae.engine.fused.optimiser import FusedAdam, adam_numbers
from comvae.model.layers import DynamicBayesianLinear, in_closed_form
from comvae.model.maps import BatchNorm, NormalisedMap
from comvae.model.mode import Mode
from comvae.model.vae import Encoder

OWN = "inputs rows maps by_maps h spread by_h mean var by_gamma by_beta by_inputs nats"


class _Dynamic(Structure):
    _fields_ = [
        *((f"map{i}", c_void_p) for i in range(3)),
        *((f"maps_norm{i}", c_void_p) for i in range(8)),
        *((f"norm{i}", c_void_p) for i in range(8)),
        *((name, c_void_p) for name in ("eps", *OWN.split())),
        ("layer", native.Layer),
    ]


class _Encoder(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("layers", "x", "outputs", "kl")),
        *((name, c_void_p) for name in ("by_outputs", "by_kl")),
        *((name, c_int32) for name in ("count", "with_kl")),
        *((name, c_float) for name in ("momentum", "share", *native.ADAM.split())),
    ]


def all_dynamic(encoder: Encoder) -> bool:
    """Whether C knows each layer: random weights from full maps with batch norm, wide
    enough for a vector, whose running statistics have one momentum; and nothing random
    between the layers."""
    if type(encoder) is not Encoder or encoder.input_noise or encoder.dropout:
        return False
    return all(
        type(layer) is DynamicBayesianLinear
        and layer.options.weight_noise
        and layer.options.batch_norm_momentum != "cumulative"
        and type(layer.maps) is NormalisedMap
        and layer.maps.inner is None
        and layer.fan_in >= native.LANES
        for layer in [*encoder.hidden, encoder.latents]
    )


class DynamicEncoder:
    """Stands in for an encoder, its backward pass and Adam's step of its parameters,
    which `optimiser` leaves alone from now on. All tensors are updated in place."""

    def __init__(self, encoder: Encoder, optimiser: FusedAdam) -> None:
        self.encoder, self.optimiser = encoder, optimiser
        self.options = encoder.latents.options
        self._layers = [*encoder.hidden, encoder.latents]
        self._dynamic = (_Dynamic * len(self._layers))()
        self._step = _Encoder(
            layers=addressof(self._dynamic),
            count=len(self._layers),
            momentum=self.options.batch_norm_momentum,
        )
        self._made_for: tuple[int, ...] = ()
        optimiser.leave_out(encoder.parameters())

    def forward(self, x: Tensor, mode: Mode) -> tuple[Tensor, Tensor]:
        """Like `Encoder.outputs` in training: (seeds, batch, pixels) -> what the
        posterior is made of, (seeds, batch, outputs), and the weight KL, (seeds,)."""
        seeds, batch, _ = x.shape
        made_for = seeds, batch, torch.get_num_threads()
        if made_for != self._made_for:
            self._lay_out(*made_for)
            self._made_for = made_for
        shapes = [layer.noise_shape(batch, mode) for layer in self._layers]
        self._x = x.contiguous()
        self._eps = [mode.noise.normal("weights", *shape) for shape in shapes]
        for dynamic, eps in zip(self._dynamic, self._eps, strict=True):
            dynamic.eps = eps.data_ptr()
        self._step.x, self._step.with_kl = self._x.data_ptr(), mode.weight_kl
        native.library().comvae_encode(byref(self._step))
        return self._outputs, self._kl

    def backward(self, by_outputs: Tensor, by_kl: Tensor) -> None:
        """Adam's step of all parameters from the gradients of what `forward` gave."""
        by_kl = by_kl * self._step.share
        self._step.by_outputs = by_outputs.data_ptr()
        self._step.by_kl = by_kl.data_ptr()
        numbers = adam_numbers(int(self.optimiser.steps) + 1, self.optimiser.lr)
        for name, value in numbers.items():
            setattr(self._step, name, value)
        native.library().comvae_encode_backward(byref(self._step))

    def _lay_out(self, seeds: int, batch: int, threads: int) -> None:
        """Memory for minibatches of a size; that of another size is given back."""
        mean = self.options.weight_kl_over_images == "mean"
        self._step.share = 1 / batch if mean else 1
        self._own = [_tensors(layer, seeds, batch) for layer in self._layers]
        formula = formula_of(self.options, with_kl=True)
        each_weight = not in_closed_form(self.options)
        norms = [*self.encoder.norms] or [None] * len(self.encoder.hidden)
        for i, layer in enumerate(self._layers):
            shape = seeds, layer.fan_out, layer.fan_in + 1, batch
            self._dynamic[i] = _Dynamic(
                *self._param(layer.maps.map),
                *self._norm(layer.maps.norm),
                *self._norm([*norms, None][i]),
                None,
                *(tensor.data_ptr() for tensor in self._own[i]),
                native.layer_of(formula, True, shape, each_weight, threads),
            )
        outputs = self._layers[-1].fan_out
        self._outputs = torch.empty(seeds, batch, outputs)
        self._kl = torch.empty(seeds)
        self._step.outputs = self._outputs.data_ptr()
        self._step.kl = self._kl.data_ptr()

    def _param(self, param: Tensor) -> list[int]:
        moments = self.optimiser.state[param]
        tensors = param, moments["exp_avg"], moments["exp_avg_sq"]
        return [tensor.data_ptr() for tensor in tensors]

    def _norm(self, norm: BatchNorm | None) -> list[int | None]:
        if norm is None:
            return [None] * 8
        running = norm.running_mean.data_ptr(), norm.running_var.data_ptr()
        return [*self._param(norm.gamma), *self._param(norm.beta), *running]


def _tensors(layer: DynamicBayesianLinear, seeds: int, batch: int) -> list[Tensor]:
    """Those of a pass through a layer, in the order of OWN."""
    outs, ins = layer.fan_out, layer.fan_in + 1
    parts = -(-outs // native.OUTS_TOGETHER)
    shapes = [(ins, batch), (batch, ins - 1), *[(2, outs, ins, batch)] * 2]
    shapes += [*[(outs, batch)] * 3, *[(2, outs, ins)] * 4, (parts, ins, batch)]
    own = [torch.empty(seeds, *shape) for shape in shapes]
    return [*own, torch.empty(seeds, outs, dtype=torch.float64)]
