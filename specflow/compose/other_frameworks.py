"""Names of configuration keys in other frameworks, and their counterparts here."""

import dataclasses

__all__ = ["KIND", "Counterpart", "counterparts"]


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """Field that takes the place of another framework's key.

    At least one of the two is given.
    """

    path: str = ""
    """Dotted path of the field; empty if no single field does the same."""
    about: str = ""
    """How the values differ, or what to do instead; full sentences."""


KIND = frozenset(
    {"type", "kind", "class", "class_name", "cls", "_name", "_type_"}
    | {"target", "_target"}
)
"""Keys that select the kind of a section, which is `name` here."""
_ACCUMULATION = "It counts the parts of a batch; loop.batch_size is that of the update."
_DEVICES = (
    "Devices are selected with JAX_PLATFORMS=cpu, cuda or tpu; mesh=... selects how "
    "they share the work."
)
_LOADER = "There are no loader workers: batches are read ahead in a background thread."
_WEIGHTS = (
    "Weights are a column of the data: spec.loss.<name>.example_weights=features.<name>"
    " weights the examples of a loss."
)
_STOPPING = (
    "Early stopping is a section: "
    "loop.early_stopping={name: no_decrease, metric: loss, patience_steps: 1000}."
)
_REPORTERS = "Reporters are a list: output.reporters=[tensorboard]."
_RUN = "A run is resumed by the same command with its output.dir."
_SPLIT = "It has a share for each part: data.split={eval: 0.2}."
_METRICS = (
    "Metrics are a mapping of names: "
    "spec.eval_metrics.<name>={name: accuracy, predictions: predictions.class}."
)
_LOSS = "Losses are a mapping of names: spec.loss.<name>={name: squared_error, ...}."

_TABLE = {
    Counterpart("loop.train_steps"): (
        *("max_steps", "steps", "num_steps", "total_steps", "num_train_steps"),
        *("training_steps", "train_iterations", "iterations", "max_iters", "max_iter"),
        *("n_steps", "num_iterations", "max_updates"),
    ),
    Counterpart("loop.epochs"): (
        *("epoch", "num_epochs", "max_epochs", "n_epochs", "nb_epoch"),
        *("num_train_epochs", "train_epochs", "train_for"),
    ),
    Counterpart("optimizer.lr"): (
        *("learning_rate", "base_lr", "max_lr", "peak_lr", "initial_lr", "init_lr"),
        *("base_learning_rate", "peak_learning_rate", "learningrate", "step_size"),
    ),
    Counterpart("loop.batch_size"): (
        *("train_batch_size", "global_batch_size", "batchsize", "bs"),
    ),
    Counterpart("loop.batch_size", "It is the size over all devices."): (
        *("per_device_train_batch_size", "micro_batch_size", "device_batch_size"),
        *("per_device_batch_size",),
    ),
    Counterpart("loop.eval_batch_size"): (
        *("val_batch_size", "validation_batch_size", "test_batch_size"),
    ),
    Counterpart("loop.eval_batch_size", "It is the size over all devices."): (
        "per_device_eval_batch_size",
    ),
    Counterpart("loop.eval_every"): (
        *("val_check_interval", "eval_interval", "validation_freq", "eval_freq"),
        *("eval_every_steps", "evaluation_steps"),
    ),
    Counterpart("loop.eval_steps"): (
        *("validation_steps", "limit_val_batches", "max_eval_steps", "eval_iters"),
        *("eval_batches",),
    ),
    Counterpart("loop.log_every"): (
        *("logging_steps", "log_every_n_steps", "log_interval", "log_steps"),
        *("log_freq", "save_summary_steps", "log_every_steps", "logging_interval"),
    ),
    Counterpart("loop.micro_steps", _ACCUMULATION): (
        *("gradient_accumulation_steps", "accumulate_grad_batches", "grad_accum"),
        *("gradient_accumulation", "accumulation_steps", "grad_accum_steps"),
        *("num_microbatches", "microbatches"),
    ),
    Counterpart("loop.compute_dtype", "It is float32, bfloat16 or float16."): (
        *("precision", "mixed_precision", "fp16", "bf16", "amp", "half", "use_amp"),
        *("dtype_compute", "half_precision", "autocast"),
    ),
    Counterpart("loop.iterations_per_loop"): (
        *("steps_per_execution", "steps_per_call", "steps_per_loop"),
    ),
    Counterpart("loop.early_stopping", _STOPPING): (
        *("patience", "early_stopping_patience", "early_stop", "earlystopping"),
    ),
    Counterpart("optimizer.clip_norm"): (
        *("gradient_clip_val", "max_grad_norm", "grad_clip", "gradient_clip"),
        *("clip_grad_norm", "grad_clip_norm", "clipnorm", "gradient_clip_norm"),
        *("global_clipnorm", "gradient_clipping", "max_norm", "grad_norm_clip"),
    ),
    Counterpart("optimizer.clip_value"): ("clipvalue", "clip_grad_value"),
    Counterpart("optimizer.schedule"): (
        *("lr_scheduler", "scheduler", "lr_schedule", "lr_scheduler_type"),
        *("learning_rate_schedule",),
    ),
    Counterpart("optimizer.schedule.warmup_steps"): (
        *("num_warmup_steps", "lr_warmup_steps"),
    ),
    Counterpart("optimizer.schedule.warmup", "It is a fraction of the steps."): (
        *("warmup_ratio", "warmup_fraction", "warmup_proportion"),
    ),
    Counterpart("optimizer.b1"): ("beta1", "beta_1", "adam_beta1"),
    Counterpart(about="They are two fields: optimizer.b1 and optimizer.b2."): (
        *("betas", "adam_betas"),
    ),
    Counterpart("optimizer.b2"): ("beta2", "beta_2", "adam_beta2"),
    Counterpart("optimizer.eps"): ("epsilon", "adam_epsilon"),
    Counterpart("optimizer.weight_decay"): ("wd", "weightdecay"),
    Counterpart("optimizer.ema.decay"): ("ema_decay", "ema_momentum", "ema_rate"),
    Counterpart("model.dropout"): ("dropout_rate", "drop_rate", "dropout_prob"),
    Counterpart("model.outputs"): (
        *("num_classes", "n_classes", "num_labels", "output_dim", "out_features"),
    ),
    Counterpart("model.hidden"): (
        *("hidden_units", "hidden_layers", "hidden_dims", "hidden_sizes"),
        *("hidden_size", "hidden_dim", "layer_sizes"),
    ),
    Counterpart("model.width"): (
        *("hidden_size", "hidden_dim", "d_model", "embed_dim", "n_embd", "dim"),
    ),
    Counterpart("model.layers"): (
        *("num_layers", "n_layers", "n_layer", "num_hidden_layers", "num_blocks"),
    ),
    Counterpart("model.heads"): (
        *("num_heads", "n_heads", "n_head", "num_attention_heads"),
    ),
    Counterpart("model.vocabulary"): ("vocab_size", "vocab"),
    Counterpart("model.max_length"): (
        *("block_size", "max_position_embeddings", "max_seq_len", "seq_len"),
        *("context_length", "sequence_length", "max_sequence_length"),
    ),
    Counterpart("seed"): ("random_seed", "random_state", "rng_seed", "manual_seed"),
    Counterpart("data.eval_fraction"): (
        *("validation_split", "val_split", "test_size", "val_fraction", "eval_split"),
        *("validation_fraction", "test_split"),
    ),
    Counterpart("data.split", _SPLIT): (
        *("test_size", "validation_split", "val_split", "test_split", "eval_split"),
        *("eval_fraction", "val_fraction", "validation_fraction"),
    ),
    Counterpart("data.files"): (
        *("data.path", "data.paths", "data.file", "data.csv", "data.filename"),
        *("data_path", "csv_path", "data_files", "train_file", "train_files"),
    ),
    Counterpart("data.labels"): (
        *("data.target", "data.targets", "data.label", "data.y", "target_column"),
        *("label_column", "label_col", "target_col", "data.label_name"),
    ),
    Counterpart("output.dir"): (
        *("output_dir", "logging_dir", "log_dir", "save_dir", "checkpoint_dir"),
        *("model_dir", "workdir", "work_dir", "default_root_dir", "out_dir"),
        *("run_dir", "ckpt_dir", "outdir", "logdir"),
    ),
    Counterpart("output.checkpoint.keep"): (
        *("save_total_limit", "max_to_keep", "keep_checkpoint_max", "save_top_k"),
    ),
    Counterpart("output.checkpoint.every"): (
        *("save_steps", "save_every", "save_freq", "save_checkpoints_steps"),
        *("checkpoint_every", "checkpoint_interval", "save_interval"),
        *("save_checkpoints_secs", "ckpt_every"),
    ),
    Counterpart("warm_start"): (
        *("pretrained", "init_from", "from_checkpoint", "init_checkpoint"),
        *("load_from", "warm_start_from", "pretrained_model"),
    ),
    Counterpart("warm_start.path"): (
        *("warm_start.checkpoint", "warm_start.ckpt", "warm_start.ckpt_path"),
        *("warm_start.dir", "warm_start.run", "warm_start.from"),
    ),
    Counterpart(about="An experiment is chosen by name: experiment=digits."): (
        *("config", "cfg", "conf", "recipe"),
    ),
    Counterpart("name"): ("run_name", "experiment_name", "exp_name"),
    Counterpart("mesh.axes.data"): (
        *("data_parallel", "dp", "data_parallel_size", "ici_data_parallelism"),
    ),
    Counterpart("mesh.axes.fsdp"): (
        *("fsdp_size", "fsdp_parallel", "shard_size", "ici_fsdp_parallelism"),
    ),
    Counterpart("mesh.axes.sequence"): (
        *("context_parallel", "ici_sequence_parallelism", "ici_context_parallelism"),
    ),
    Counterpart("mesh.axes.expert"): (
        *("expert_parallel", "ep", "ici_expert_parallelism"),
    ),
    Counterpart("mesh.slices"): (
        *("num_slices", "dcn_data_parallelism", "dcn_fsdp_parallelism"),
    ),
    Counterpart("mesh.axes.tensor"): (
        *("tensor_parallel", "tp", "tensor_parallel_size", "model_parallel"),
        *("ici_tensor_parallelism",),
        *("mesh.model", "mesh.axes.model"),
    ),
    Counterpart("mesh.processes.count"): ("num_nodes", "num_processes", "world_size"),
    Counterpart(about=_DEVICES): (
        *("device", "devices", "accelerator", "gpus", "gpu", "num_gpus", "use_gpu"),
        *("n_gpu", "tpu_cores", "num_devices", "cuda", "use_cuda", "no_cuda"),
        *("strategy", "tpu", "use_tpu"),
    ),
    Counterpart(about=_LOADER): (
        *("num_workers", "dataloader_num_workers", "workers", "pin_memory"),
        *("prefetch", "prefetch_factor", "persistent_workers", "use_multiprocessing"),
    ),
    Counterpart(about=_WEIGHTS): (
        *("class_weight", "class_weights", "sample_weight", "pos_weight"),
    ),
    Counterpart("output.reporters", _REPORTERS): (
        *("report_to", "logger", "loggers", "wandb", "tensorboard", "callbacks"),
    ),
    Counterpart(about=_RUN): (
        *("resume", "resume_from_checkpoint", "resume_from", "ckpt_path"),
        *("load_checkpoint",),
    ),
    Counterpart(about="Arguments of a _target_ are keys beside it."): (
        *("init_args", "kwargs", "_kwargs_"),
    ),
    Counterpart("spec.eval_metrics", _METRICS): ("metrics", "eval_metric"),
    Counterpart("spec.loss", _LOSS): (
        *("loss", "criterion", "loss_fn", "objective", "losses"),
    ),
}
"""Counterpart -> the names, from Keras, PyTorch Lightning, the Hugging Face Trainer,
Optax, scikit-learn, Ludwig and `tf.estimator`."""

_BY_NAME: dict[str, list[Counterpart]] = {}
for _here, _names in _TABLE.items():
    for _name in _names:
        _BY_NAME.setdefault(_name, []).append(_here)


def counterparts(name: str, section: str = "") -> list[Counterpart]:
    """Returns what another framework's name of a key may mean here.

    Args:
        name: of the key.
        section: dotted path of its section, in which the name may have a meaning that
            it has in no other.

    >>> [one.path for one in counterparts("learning_rate")]
    ['optimizer.lr']
    >>> [one.path for one in counterparts("hiddenSize")]
    ['model.hidden', 'model.width']
    >>> [one.path for one in counterparts("model", "mesh")]
    ['mesh.axes.tensor']
    >>> counterparts("colour")
    []
    """
    letters = "".join(f"_{it.lower()}" if it.isupper() else it for it in name)
    words = (name.lower(), letters.strip("_"))
    plain = [word.replace("-", "_") for word in words]
    keys = [*(f"{section}.{word}" for word in plain), *plain]
    return next((_BY_NAME[key] for key in keys if key in _BY_NAME), [])
