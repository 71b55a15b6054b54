"""A lean JAX function under Hydra's basic launcher.

Usage: python hydra_basic.py -m lr=1e-3,2e-3 hydra.sweep.dir=FOLDER
"""

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from lean_mlp import rows, run_trial

ConfigStore.instance().store(name="config", node={"lr": 1e-3})


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config):
    run_trial(HydraConfig.get().runtime.output_dir, float(config.lr), rows())


main()
