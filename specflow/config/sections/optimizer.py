"""`optimizer`: the optax transformation that becomes `train_op`.

A section has the name of the function that makes its transformation: one of optax
(`config/generated/`), or of a plugin, as those of `specflow.tf`. Its fields are the
function's arguments, with their names and defaults, and those that all optimizers
share: `lr`, `schedule`, `clip_norm`, `clip_value`, `ema`, and `no_decay` where weights
decay.
"""

from specflow.config.common.optimizer_fields import (
    CommonOptimizerConfig,
    ConstantConfig,
    CosineConfig,
    DecayConfig,
    DecayingConfig,
    EmaConfig,
    LearningRateConfig,
    LinearDecayConfig,
    ScheduleConfig,
    ScheduledConfig,
    WarmupConfig,
)
from specflow.config.generated.common_optimizers import (
    AdamConfig,
    AdamWConfig,
    SgdConfig,
)
from specflow.config.generated.names import OPTAX_OPTIMIZERS
from specflow.config.kinds import Elsewhere, by_name

__all__ = [
    "AdamConfig",
    "AdamWConfig",
    "CommonOptimizerConfig",
    "ConstantConfig",
    "CosineConfig",
    "DecayConfig",
    "DecayingConfig",
    "EmaConfig",
    "LearningRateConfig",
    "LinearDecayConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "ScheduledConfig",
    "SgdConfig",
    "WarmupConfig",
]

OptimizerConfig = by_name(
    AdamConfig,
    AdamWConfig,
    SgdConfig,
    Elsewhere("specflow.config.generated.optax_optimizers", *OPTAX_OPTIMIZERS),
    Elsewhere("specflow.config.sections.optimizer_parts", "parts"),
    group="specflow.optimizers",
    bases={"learning_rate": ScheduledConfig},
)
"""Value of `optimizer:`: one of these by `name`, or a `_target_` that returns an optax
GradientTransformation."""
