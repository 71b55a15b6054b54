"""The optimizers of optax that nobody chooses by default, under its names.

Fields and defaults are those of `optax.<name>`, which explains them; only the rates are
ours, as optax has none. Left out are those that need more than gradients
(`polyak_sgd`, `lbfgs`) and the deprecated `optimistic_adam`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from specflow.config.base import named
from specflow.config.optimizer import (
    DecayingConfig,
    Dtype,
    ScheduledConfig,
    Share,
    SteadyConfig,
)

__all__ = ["MEMBERS"]


class AdabeliefConfig(ScheduledConfig):
    """AdaBelief. Source: Zhuang et al., 2020."""

    name: Literal["adabelief"] = "adabelief"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-16
    eps_root: NonNegativeFloat = 1e-16
    nesterov: bool = False


class AdadeltaConfig(DecayingConfig):
    """Adadelta. Source: Zeiler, 2012."""

    name: Literal["adadelta"] = "adadelta"
    lr: PositiveFloat = 1.0
    rho: Share = 0.9
    eps: NonNegativeFloat = 1e-6


class AdafactorConfig(ScheduledConfig):
    """Adafactor. Source: Shazeer & Stern, 2018."""

    name: Literal["adafactor"] = "adafactor"
    lr: PositiveFloat = 1e-2
    """A share of the parameter's own size, with `multiply_by_parameter_scale`."""
    min_dim_size_to_factor: PositiveInt = 128
    decay_rate: Share = 0.8
    decay_offset: NonNegativeInt = 0
    multiply_by_parameter_scale: bool = True
    clipping_threshold: Annotated[float, Field(ge=1.0)] | None = 1.0
    momentum: Share | None = None
    dtype_momentum: Dtype = "float32"
    weight_decay_rate: NonNegativeFloat | None = None
    no_decay: list[str] = ["**.bias", "**.scale"]
    """Globs of parameter paths that are not decayed."""
    eps: NonNegativeFloat = 1e-30
    factored: bool = True


class AdagradConfig(ScheduledConfig):
    """Adagrad. Source: Duchi et al., 2011."""

    name: Literal["adagrad"] = "adagrad"
    lr: PositiveFloat = 1e-2
    initial_accumulator_value: NonNegativeFloat = 0.1
    eps: NonNegativeFloat = 1e-7


class AdamaxConfig(ScheduledConfig):
    """Adam by the largest gradient so far. Source: Kingma & Ba, 2015, section 7."""

    name: Literal["adamax"] = "adamax"
    lr: PositiveFloat = 2e-3
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8


class AdamaxwConfig(DecayingConfig):
    """Adamax with decoupled weight decay."""

    name: Literal["adamaxw"] = "adamaxw"
    lr: PositiveFloat = 2e-3
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    weight_decay: NonNegativeFloat = 1e-4


class AdanConfig(DecayingConfig):
    """Adan. Source: Xie et al., 2022."""

    name: Literal["adan"] = "adan"
    b1: Share = 0.98
    b2: Share = 0.92
    b3: Share = 0.99
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 1e-8


class AmsgradConfig(ScheduledConfig):
    """Adam whose steps never grow back. Source: Reddi et al., 2018."""

    name: Literal["amsgrad"] = "amsgrad"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 0.0
    mu_dtype: Dtype | None = None
    bias_correction_mu: bool = True
    bias_correction_nu: bool = True


class FromageConfig(ScheduledConfig):
    """Fromage. Source: Bernstein et al., 2020."""

    name: Literal["fromage"] = "fromage"
    lr: PositiveFloat = 1e-2
    min_norm: NonNegativeFloat = 1e-6


class LambConfig(DecayingConfig):
    """LAMB: Adam with a trust ratio a layer. Source: You et al., 2020."""

    name: Literal["lamb"] = "lamb"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-6
    eps_root: NonNegativeFloat = 0.0


class LarsConfig(DecayingConfig):
    """LARS: momentum with a trust ratio a layer. Source: You et al., 2017."""

    name: Literal["lars"] = "lars"
    lr: PositiveFloat = 0.1
    trust_coefficient: PositiveFloat = 0.001
    eps: NonNegativeFloat = 0.0
    momentum: Share = 0.9
    nesterov: bool = False


class LionConfig(DecayingConfig):
    """Lion. Source: Chen et al., 2023."""

    name: Literal["lion"] = "lion"
    lr: PositiveFloat = 1e-4
    b1: Share = 0.9
    b2: Share = 0.99
    mu_dtype: Dtype | None = None
    weight_decay: NonNegativeFloat = 1e-3


class NadamConfig(ScheduledConfig):
    """Adam with Nesterov's look ahead. Source: Dozat, 2016."""

    name: Literal["nadam"] = "nadam"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 0.0
    mu_dtype: Dtype | None = None
    nesterov: bool = True


class NadamwConfig(DecayingConfig):
    """Nadam with decoupled weight decay."""

    name: Literal["nadamw"] = "nadamw"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 0.0
    mu_dtype: Dtype | None = None
    weight_decay: NonNegativeFloat = 1e-4
    nesterov: bool = True


class NoisySgdConfig(ScheduledConfig):
    """Gradient descent with fading noise. Source: Neelakantan et al., 2015."""

    name: Literal["noisy_sgd"] = "noisy_sgd"
    lr: PositiveFloat = 1e-2
    eta: NonNegativeFloat = 0.01
    gamma: NonNegativeFloat = 0.55
    key: NonNegativeInt = 0
    """Seed of the noise."""


class NovogradConfig(ScheduledConfig):
    """NovoGrad: a second moment a layer. Source: Ginsburg et al., 2019."""

    name: Literal["novograd"] = "novograd"
    lr: PositiveFloat = 1e-2
    b1: Share = 0.9
    b2: Share = 0.25
    eps: NonNegativeFloat = 1e-6
    eps_root: NonNegativeFloat = 0.0
    weight_decay: NonNegativeFloat = 0.0
    """Share of every weight taken off per step: optax can spare none here."""


class OptimisticAdamConfig(ScheduledConfig):
    """Adam for games, where a plain step circles. Source: Daskalakis et al., 2017."""

    name: Literal["optimistic_adam_v2"] = "optimistic_adam_v2"
    alpha: NonNegativeFloat = 1.0
    beta: NonNegativeFloat = 1.0
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 0.0
    mu_dtype: Dtype | None = None
    nesterov: bool = True


class OptimisticGradientDescentConfig(ScheduledConfig):
    """Gradient descent for games. Source: Mokhtari et al., 2019."""

    name: Literal["optimistic_gradient_descent"] = "optimistic_gradient_descent"
    lr: PositiveFloat = 1e-2
    alpha: NonNegativeFloat = 1.0
    beta: NonNegativeFloat = 1.0


class RadamConfig(ScheduledConfig):
    """Rectified Adam. Source: Liu et al., 2020."""

    name: Literal["radam"] = "radam"
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-8
    eps_root: NonNegativeFloat = 0.0
    threshold: NonNegativeFloat = 5.0
    nesterov: bool = False


class RmspropConfig(ScheduledConfig):
    """RMSProp. Source: Hinton, 2012; Graves, 2013."""

    name: Literal["rmsprop"] = "rmsprop"
    decay: Share = 0.9
    eps: NonNegativeFloat = 1e-8
    initial_scale: NonNegativeFloat = 0.0
    eps_in_sqrt: bool = True
    centered: bool = False
    momentum: Share | None = None
    nesterov: bool = False
    bias_correction: bool = False


class RpropConfig(SteadyConfig):
    """Rprop. Source: Riedmiller & Braun, 1993."""

    name: Literal["rprop"] = "rprop"
    lr: PositiveFloat = 1e-3
    """Size of the first step; signs of gradients make later ones larger or smaller."""
    eta_minus: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    eta_plus: Annotated[float, Field(gt=1.0)] = 1.2
    min_step_size: PositiveFloat = 1e-6
    max_step_size: PositiveFloat = 50.0


class SignSgdConfig(ScheduledConfig):
    """The sign of the gradient. Source: Bernstein et al., 2018."""

    name: Literal["sign_sgd"] = "sign_sgd"


class SignumConfig(ScheduledConfig):
    """The sign of the momentum. Source: Bernstein et al., 2018."""

    name: Literal["signum"] = "signum"
    beta: Share = 0.9
    accumulator_dtype: Dtype | None = None


class Sm3Config(SteadyConfig):
    """SM3. Source: Anil et al., 2019."""

    name: Literal["sm3"] = "sm3"
    lr: PositiveFloat = 0.1
    """Learning rate, the same to the end."""
    momentum: Share = 0.9


class YogiConfig(ScheduledConfig):
    """Yogi. Source: Zaheer et al., 2018."""

    name: Literal["yogi"] = "yogi"
    lr: PositiveFloat = 1e-2
    b1: Share = 0.9
    b2: Share = 0.999
    eps: NonNegativeFloat = 1e-3


MEMBERS = named(
    AdabeliefConfig,
    AdadeltaConfig,
    AdafactorConfig,
    AdagradConfig,
    AdamaxConfig,
    AdamaxwConfig,
    AdanConfig,
    AmsgradConfig,
    FromageConfig,
    LambConfig,
    LarsConfig,
    LionConfig,
    NadamConfig,
    NadamwConfig,
    NoisySgdConfig,
    NovogradConfig,
    OptimisticAdamConfig,
    OptimisticGradientDescentConfig,
    RadamConfig,
    RmspropConfig,
    RpropConfig,
    SignSgdConfig,
    SignumConfig,
    Sm3Config,
    YogiConfig,
)
"""Name -> class; `optimizer.py` lists the names."""
