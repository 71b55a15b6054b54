"""The optimizers of optax that nobody chooses by default, under its names.

Fields and defaults are those of `optax.<name>`, which explains them; only the rates are
ours, as optax has none. Left out are those that need more than gradients
(`polyak_sgd`, `lbfgs`) and the deprecated `optimistic_adam`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from specflow.config.base import Dtype
from specflow.config.kinds import named
from specflow.config.sections.optimizer import (
    DecayingConfig,
    ScheduledConfig,
    Share,
    SteadyConfig,
)

__all__ = ["MEMBERS"]


class AdabeliefConfig(ScheduledConfig):
    """AdaBelief. Source: Zhuang et al., 2020."""

    name: Literal["adabelief"] = "adabelief"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-16
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 1e-16
    """Added inside the root, so that it has a derivative at 0."""
    nesterov: bool = False
    """Whether momentum looks ahead, as Nesterov's does."""


class AdadeltaConfig(DecayingConfig):
    """Adadelta. Source: Zeiler, 2012."""

    name: Literal["adadelta"] = "adadelta"
    lr: PositiveFloat = 1.0
    rho: Share = 0.9
    """Share of the means of squares that is kept at each step."""
    eps: NonNegativeFloat = 1e-6
    """A small number against division by zero."""


class AdafactorConfig(ScheduledConfig):
    """Adafactor. Source: Shazeer & Stern, 2018."""

    name: Literal["adafactor"] = "adafactor"
    lr: PositiveFloat = 1e-2
    """A share of the parameter's own size, with `multiply_by_parameter_scale`."""
    min_dim_size_to_factor: PositiveInt = 128
    """Least size of a matrix's sides for a row and a column to stand for it."""
    decay_rate: Share = 0.8
    """Power by which the mean of squares forgets more slowly over the steps."""
    decay_offset: NonNegativeInt = 0
    """Step at which that power begins: where fine-tuning started."""
    multiply_by_parameter_scale: bool = True
    """Whether the rate is a share of each parameter's own size."""
    clipping_threshold: Annotated[float, Field(ge=1.0)] | None = 1.0
    """Largest root mean square of an update; null leaves it alone."""
    momentum: Share | None = None
    """Share of the velocity that is kept at each step; null: there is none."""
    dtype_momentum: Dtype = "float32"
    """What the velocity is kept in."""
    weight_decay_rate: NonNegativeFloat | None = None
    """Share of a weight taken off per step; null: nothing."""
    no_decay: list[str] = ["**.bias", "**.scale"]
    """Globs of parameter paths that are not decayed."""
    eps: NonNegativeFloat = 1e-30
    """Added to squared gradients, against division by zero."""
    factored: bool = True
    """Whether statistics are kept as rows and columns, not whole."""


class AdagradConfig(ScheduledConfig):
    """Adagrad. Source: Duchi et al., 2011."""

    name: Literal["adagrad"] = "adagrad"
    lr: PositiveFloat = 1e-2
    initial_accumulator_value: NonNegativeFloat = 0.1
    """Where the sum of squared gradients begins."""
    eps: NonNegativeFloat = 1e-7
    """A small number against division by zero."""


class AdamaxConfig(ScheduledConfig):
    """Adam by the largest gradient so far. Source: Kingma & Ba, 2015, section 7."""

    name: Literal["adamax"] = "adamax"
    lr: PositiveFloat = 2e-3
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""


class AdamaxwConfig(DecayingConfig):
    """Adamax with decoupled weight decay."""

    name: Literal["adamaxw"] = "adamaxw"
    lr: PositiveFloat = 2e-3
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    weight_decay: NonNegativeFloat = 1e-4


class AdanConfig(DecayingConfig):
    """Adan. Source: Xie et al., 2022."""

    name: Literal["adan"] = "adan"
    b1: Share = 0.98
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.92
    """Share of the mean of the gradients' changes that is kept at each step."""
    b3: Share = 0.99
    """Share of the mean of squares that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 1e-8
    """Added inside the root, so that it has a derivative at 0."""


class AmsgradConfig(ScheduledConfig):
    """Adam whose steps never grow back. Source: Reddi et al., 2018."""

    name: Literal["amsgrad"] = "amsgrad"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    mu_dtype: Dtype | None = None
    """What the mean of gradients is kept in; null: the parameters' own type."""
    bias_correction_mu: bool = True
    """Whether the mean of gradients is corrected for its start at 0."""
    bias_correction_nu: bool = True
    """Whether the mean of squares is corrected for its start at 0."""


class FromageConfig(ScheduledConfig):
    """Fromage. Source: Bernstein et al., 2020."""

    name: Literal["fromage"] = "fromage"
    lr: PositiveFloat = 1e-2
    min_norm: NonNegativeFloat = 1e-6
    """Least norm by which is divided."""


class LambConfig(DecayingConfig):
    """LAMB: Adam with a trust ratio a layer. Source: You et al., 2020."""

    name: Literal["lamb"] = "lamb"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-6
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""


class LarsConfig(DecayingConfig):
    """LARS: momentum with a trust ratio a layer. Source: You et al., 2017."""

    name: Literal["lars"] = "lars"
    lr: PositiveFloat = 0.1
    trust_coefficient: PositiveFloat = 0.001
    """How far a layer moves, as a share of its norm over its gradient's."""
    eps: NonNegativeFloat = 0.0
    """A small number against division by zero."""
    momentum: Share = 0.9
    """Share of the velocity that is kept at each step."""
    nesterov: bool = False
    """Whether momentum looks ahead, as Nesterov's does."""


class LionConfig(DecayingConfig):
    """Lion. Source: Chen et al., 2023."""

    name: Literal["lion"] = "lion"
    lr: PositiveFloat = 1e-4
    b1: Share = 0.9
    """Share of the momentum in a step; the rest is the gradient."""
    b2: Share = 0.99
    """Share of the momentum that is kept at each step."""
    mu_dtype: Dtype | None = None
    """What the momentum is kept in; null: the parameters' own type."""
    weight_decay: NonNegativeFloat = 1e-3


class NadamConfig(ScheduledConfig):
    """Adam with Nesterov's look ahead. Source: Dozat, 2016."""

    name: Literal["nadam"] = "nadam"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    mu_dtype: Dtype | None = None
    """What the mean of gradients is kept in; null: the parameters' own type."""
    nesterov: bool = True
    """Whether momentum looks ahead, as Nesterov's does."""


class NadamwConfig(DecayingConfig):
    """Nadam with decoupled weight decay."""

    name: Literal["nadamw"] = "nadamw"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    mu_dtype: Dtype | None = None
    """What the mean of gradients is kept in; null: the parameters' own type."""
    weight_decay: NonNegativeFloat = 1e-4
    nesterov: bool = True
    """Whether momentum looks ahead, as Nesterov's does."""


class NoisySgdConfig(ScheduledConfig):
    """Gradient descent with fading noise. Source: Neelakantan et al., 2015."""

    name: Literal["noisy_sgd"] = "noisy_sgd"
    lr: PositiveFloat = 1e-2
    eta: NonNegativeFloat = 0.01
    """Variance of the noise at the first step."""
    gamma: NonNegativeFloat = 0.55
    """Power of the steps by which that variance is divided."""
    key: NonNegativeInt = 0
    """Seed of the noise."""


class NovogradConfig(ScheduledConfig):
    """NovoGrad: a second moment a layer. Source: Ginsburg et al., 2019."""

    name: Literal["novograd"] = "novograd"
    lr: PositiveFloat = 1e-2
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.25
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-6
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    weight_decay: NonNegativeFloat = 0.0
    """Share of every weight taken off per step: optax can spare none here."""


class OptimisticAdamConfig(ScheduledConfig):
    """Adam for games, where a plain step circles. Source: Daskalakis et al., 2017."""

    name: Literal["optimistic_adam_v2"] = "optimistic_adam_v2"
    alpha: NonNegativeFloat = 1.0
    """Weight of the step itself."""
    beta: NonNegativeFloat = 1.0
    """Weight of what it has changed by since the one before."""
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    mu_dtype: Dtype | None = None
    """What the mean of gradients is kept in; null: the parameters' own type."""
    nesterov: bool = True
    """Whether momentum looks ahead, as Nesterov's does."""


class OptimisticGradientDescentConfig(ScheduledConfig):
    """Gradient descent for games. Source: Mokhtari et al., 2019."""

    name: Literal["optimistic_gradient_descent"] = "optimistic_gradient_descent"
    lr: PositiveFloat = 1e-2
    alpha: NonNegativeFloat = 1.0
    """Weight of the gradient itself."""
    beta: NonNegativeFloat = 1.0
    """Weight of what it has changed by since the step before."""


class RadamConfig(ScheduledConfig):
    """Rectified Adam. Source: Liu et al., 2020."""

    name: Literal["radam"] = "radam"
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    eps_root: NonNegativeFloat = 0.0
    """Added inside the root, so that it has a derivative at 0."""
    threshold: NonNegativeFloat = 5.0
    """Length of the averaged past from which its variance is trusted."""
    nesterov: bool = False
    """Whether momentum looks ahead, as Nesterov's does."""


class RmspropConfig(ScheduledConfig):
    """RMSProp. Source: Hinton, 2012; Graves, 2013."""

    name: Literal["rmsprop"] = "rmsprop"
    decay: Share = 0.9
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-8
    """A small number against division by zero."""
    initial_scale: NonNegativeFloat = 0.0
    """Where the mean of squared gradients begins."""
    eps_in_sqrt: bool = True
    """Whether `eps` is added inside the root."""
    centered: bool = False
    """Whether the mean is taken off, so that the variance divides."""
    momentum: Share | None = None
    """Share of the velocity that is kept at each step; null: there is none."""
    nesterov: bool = False
    """Whether momentum looks ahead, as Nesterov's does."""
    bias_correction: bool = False
    """Whether means are corrected for where they begin."""


class RpropConfig(SteadyConfig):
    """Rprop. Source: Riedmiller & Braun, 1993."""

    name: Literal["rprop"] = "rprop"
    lr: PositiveFloat = 1e-3
    """Size of the first step; signs of gradients make later ones larger or smaller."""
    eta_minus: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Factor of a step after its gradient's sign has turned."""
    eta_plus: Annotated[float, Field(gt=1.0)] = 1.2
    """Factor of a step while its gradient's sign stays."""
    min_step_size: PositiveFloat = 1e-6
    """Smallest step."""
    max_step_size: PositiveFloat = 50.0
    """Largest step."""


class SignSgdConfig(ScheduledConfig):
    """The sign of the gradient. Source: Bernstein et al., 2018."""

    name: Literal["sign_sgd"] = "sign_sgd"


class SignumConfig(ScheduledConfig):
    """The sign of the momentum. Source: Bernstein et al., 2018."""

    name: Literal["signum"] = "signum"
    beta: Share = 0.9
    """Share of the momentum that is kept at each step."""
    accumulator_dtype: Dtype | None = None
    """What the velocity is kept in; null: the parameters' own type."""


class Sm3Config(SteadyConfig):
    """SM3. Source: Anil et al., 2019."""

    name: Literal["sm3"] = "sm3"
    lr: PositiveFloat = 0.1
    """Learning rate, the same to the end."""
    momentum: Share = 0.9
    """Share of the velocity that is kept at each step."""


class YogiConfig(ScheduledConfig):
    """Yogi. Source: Zaheer et al., 2018."""

    name: Literal["yogi"] = "yogi"
    lr: PositiveFloat = 1e-2
    b1: Share = 0.9
    """Share of the mean of gradients that is kept at each step."""
    b2: Share = 0.999
    """Share of the mean of squared gradients that is kept at each step."""
    eps: NonNegativeFloat = 1e-3
    """A small number against division by zero."""


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
