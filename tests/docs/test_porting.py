"""`docs/tensorflow/porting.md` has a row for every old option, and is correct."""

import ast
import functools
import importlib
import inspect
import re
from pathlib import Path

import jax
import optax
import pytest
from flax import linen

import specflow as sf
from specflow.config.run_config import GONE, RunConfig, TPUConfig
from specflow.tf import metrics, optimizers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tensorflow" / "porting.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
PYTHON = [text for language, text in BLOCKS if language == "python"]
PROSE = re.sub(r"^```\w+\n.*?^```", "", PAGE, flags=re.M | re.S)
SPANS = sorted(set(re.findall(r"`([^`]+)`", PROSE)))

# What TensorFlow 2.15 documents, written down by hand from its signatures.
OLD = {
    "TPUEstimatorSpec": """
        mode predictions loss train_op eval_metrics export_outputs scaffold_fn host_call
        training_hooks evaluation_hooks prediction_hooks eval_metric_ops
        training_chief_hooks scaffold as_estimator_spec
    """,
    "The model function": "features labels mode params config",
    "TPUEstimator": """
        model_fn model_dir config params use_tpu train_batch_size eval_batch_size
        predict_batch_size batch_axis eval_on_tpu export_to_tpu export_to_cpu
        warm_start_from embedding_config_spec export_saved_model_api_version
        experimental_export_device_assignment
    """,
    "Its methods": """
        train evaluate predict export_saved_model export_savedmodel
        experimental_export_all_saved_models latest_checkpoint get_variable_names
        get_variable_value eval_dir model_dir config params model_fn
    """,
    "RunConfig": """
        tpu_config evaluation_master master cluster model_dir tf_random_seed
        save_summary_steps save_checkpoints_steps save_checkpoints_secs session_config
        keep_checkpoint_max keep_checkpoint_every_n_hours log_step_count_steps
        train_distribute device_fn protocol eval_distribute experimental_distribute
        experimental_max_worker_delay_secs session_creation_timeout_secs
        checkpoint_save_graph_def replace is_chief task_id task_type
        num_worker_replicas num_ps_replicas cluster_spec service global_id_in_cluster
    """,
    "TPUConfig": """
        iterations_per_loop num_shards num_cores_per_replica per_host_input_for_training
        tpu_job_name initial_infeed_sleep_secs input_partition_dims
        eval_training_input_configuration experimental_host_call_every_n_steps
        experimental_allow_per_host_v2_parallel_get_next experimental_feed_hook
    """,
    "InputPipelineConfig": "PER_SHARD_V1 PER_HOST_V1 PER_HOST_V2 BROADCAST SLICED",
    "The input function": """
        TPUInfeedOutfeedSessionHook tf.feature_column classifier_parse_example_spec
        regressor_parse_example_spec tf.feature_column.make_parse_example_spec
    """,
    "Optimizers": """
        CrossShardOptimizer AdadeltaOptimizer AdagradDAOptimizer AdagradOptimizer
        AdamOptimizer FtrlOptimizer GradientDescentOptimizer MomentumOptimizer
        ProximalAdagradOptimizer ProximalGradientDescentOptimizer RMSPropOptimizer
        SyncReplicasOptimizer ExponentialMovingAverage minimize apply_gradients
        tf.contrib.estimator.clip_gradients_by_norm
    """,
    "Embeddings": """
        feature_columns feature_to_config_dict table_to_config_dict embedding_column
        shared_embedding_columns combiner max_sequence_length partition_strategy
        optimization_parameters clipping_limit pipeline_execution_with_tensor_core
        experimental_gradient_multiplier_fn profile_data_directory
    """,
    "Hooks": """
        begin after_create_session before_run after_run end CheckpointSaverHook
        CheckpointSaverListener StepCounterHook LoggingTensorHook SummarySaverHook
        StopAtStepHook NanTensorHook FinalOpsHook FeedFnHook GlobalStepWaiterHook
        ProfilerHook InMemoryEvaluatorHook AsyncCheckpointSaverHook
        CloudTPUPreemptedHook ExamplesPerSecondHook InstallSignalHandlerHook
    """,
    "train_and_evaluate": """
        TrainSpec EvalSpec start_delay_secs throttle_secs LatestExporter FinalExporter
        BestExporter event_file_pattern as_text stop_if_higher_hook stop_if_lower_hook
        stop_if_no_increase_hook stop_if_no_decrease_hook make_early_stopping_hook
        eval_dir run_every_secs run_every_steps
    """,
    "Warm start": """
        ckpt_to_initialize_from vars_to_warm_start var_name_to_vocab_info
        var_name_to_prev_var_name VocabInfo
    """,
    "Metrics": """
        accuracy auc average_precision_at_k false_negatives
        false_negatives_at_thresholds false_positives false_positives_at_thresholds mean
        mean_absolute_error mean_cosine_distance mean_iou mean_per_class_accuracy
        mean_relative_error mean_squared_error mean_tensor percentage_below precision
        precision_at_k precision_at_thresholds precision_at_top_k recall recall_at_k
        recall_at_thresholds recall_at_top_k root_mean_squared_error
        sensitivity_at_specificity sparse_average_precision_at_k sparse_precision_at_k
        specificity_at_sensitivity true_negatives true_negatives_at_thresholds
        true_positives true_positives_at_thresholds
    """,
    "Losses": """
        Reduction.NONE Reduction.SUM Reduction.MEAN Reduction.SUM_OVER_BATCH_SIZE
        Reduction.SUM_OVER_NONZERO_WEIGHTS Reduction.SUM_BY_NONZERO_WEIGHTS
    """,
    "Heads and canned estimators": """
        BinaryClassHead LogisticRegressionHead MultiClassHead MultiHead MultiLabelHead
        PoissonRegressionHead RegressionHead BaselineClassifier BaselineEstimator
        BaselineRegressor DNNClassifier DNNEstimator DNNLinearCombinedClassifier
        DNNLinearCombinedEstimator DNNLinearCombinedRegressor DNNRegressor
        LinearClassifier LinearEstimator LinearRegressor BoostedTreesClassifier
        BoostedTreesRegressor KMeans LinearSDCA RNNClassifier RNNEstimator
        tf.estimator.add_metrics
    """,
    "Export": """
        serving_input_receiver_fn assets_extra as_text checkpoint_path experimental_mode
        ServingInputReceiver TensorServingInputReceiver
        build_raw_serving_input_receiver_fn build_parsing_serving_input_receiver_fn
        PredictOutput ClassificationOutput RegressionOutput
        tpu.export_estimator_savedmodel SavedModelEstimator
    """,
    "Several machines": "chief master worker ps evaluator",
    "What else is gone": """
        tpu.experimental.EmbeddingConfigSpec tensor_tracer tpu.error_handling
        ErrorRendezvous TF_TPU_WATCHDOG_TIMEOUT TF_TPU_GRACEFUL_SHUTDOWN_MODE
        TPU_SPLIT_COMPILE_AND_EXECUTE tpu.PaddingSpec tpu.XLAOptions tpu.profiler
        capture_tpu_profile tf.contrib.tpu.keras_to_tpu_model TPUDistributionStrategy
        model_to_estimator tpu.initialize_system tpu.shutdown_system
        tpu.experimental.Topology tpu.experimental.DeviceAssignment device_assignment
        tpu.repeat tpu.while_loop tpu.core tpu.outside_all_rewrites tpu.shard
        tpu.replicate tpu.batch_parallel tpu.outside_compilation
        tpu.cross_replica_sum
    """,
}  # fmt: skip


def section(heading):
    """Text of a section, up to the next heading."""
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert match is not None, heading
    return match[1]


def rows(heading):
    """Old name -> its replacement, from the tables of a section."""
    table = {}
    for line in section(heading).splitlines():
        if line.startswith("|"):
            old, now, *_ = (cell.strip() for cell in line[1:-1].split("|"))
            table |= {name.strip(":,"): now for name in re.findall(r"`(.+?)`", old)}
    return table


@pytest.mark.parametrize("heading", OLD)
def test_every_old_option_has_a_row_with_its_replacement(heading):
    table = rows(heading)
    assert [name for name in OLD[heading].split() if not table.get(name)] == []


@pytest.mark.parametrize("name", GONE)
def test_the_row_of_a_removed_option_quotes_its_error(name):
    cells = [rows(heading).get(name, "") for heading in OLD]
    texts = [cell.replace("`", "") for cell in cells if cell]
    assert any(GONE[name] in text for text in texts), texts


@pytest.mark.parametrize(
    ("config", "heading"), [(RunConfig, "RunConfig"), (TPUConfig, "TPUConfig")]
)
def test_an_old_option_is_accepted_or_its_error_has_the_replacement(config, heading):
    options = OLD[heading].partition(" replace ")[0].split()
    for name in (name for name in options if name not in config.model_fields):
        with pytest.raises(sf.ConfigError) as error:
            config(**{name: None})
        assert str(error.value) == f"{heading}.{name}: is gone. {GONE[name]}"


@pytest.mark.parametrize("config", [RunConfig, TPUConfig])
def test_every_field_of_a_config_is_on_the_page(config):
    text = section(config.__name__)
    assert [name for name in config.model_fields if name not in text] == []


def test_every_metric_function_and_every_preset_is_on_the_page():
    spans = " ".join(SPANS)
    for name in metrics.__all__:
        assert f"`sf.tf.metrics.{name}`" in rows("Metrics")[name]
    for name in optimizers.__all__:
        assert f"specflow.tf.optimizers.{name}(" in spans
    for name in sf.tf.heads.LossReduction:
        assert f"sf.tf.heads.LossReduction.{name.name}" in spans


ROOTS = {
    "sf": lambda: sf,
    "specflow": lambda: sf,
    "estimator": functools.cache(
        lambda: sf.TPUEstimator(lambda features: None, use_tpu=False)
    ),
    "head": lambda: sf.tf.heads.Head,
    "spec": lambda: sf.TPUEstimatorSpec,
    "jax": lambda: jax,
    "nn": lambda: linen,
    "optax": lambda: optax,
}
"""First component of a dotted name on the page -> the object that it denotes."""
REJECTED = "sf.TPUConfig(num_shards=8)"
"""The invalid call that the page shows."""


def chain(node):
    """["sf", "tf", "metrics", "auc"] of an expression such as sf.tf.metrics.auc."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def resolved(names):
    """Resolves a dotted name; imports modules on the way."""
    value = ROOTS[names[0]]()
    for name in names[1:]:
        if not hasattr(value, name) and inspect.ismodule(value):
            importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name)
    return value


def parsed(span):
    try:
        return list(ast.walk(ast.parse(span)))
    except SyntaxError:
        return []  # A command line, or no code at all.


def named(span):
    """Dotted names in a code span, and the calls among them."""
    nodes = parsed(span)
    chains = [chain(node) for node in nodes if isinstance(node, ast.Attribute)]
    calls = [(chain(node.func), node) for node in nodes if isinstance(node, ast.Call)]
    return (
        [names for names in chains if names and names[0] in ROOTS],
        [(names, call) for names, call in calls if names and names[0] in ROOTS],
    )


def parameters(function):
    """Names of the arguments; None if any keyword is accepted."""
    if hasattr(function, "model_fields"):
        return set(function.model_fields)
    taken = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in taken):
        return None
    return {p.name for p in taken}


@pytest.mark.parametrize("span", [span for span in SPANS if named(span)[0]])
def test_names_on_the_page_exist_and_accept_the_shown_arguments(span):
    chains, calls = named(span)
    for names in chains:
        assert resolved(names) is not None
    for names, call in calls:
        accepted = parameters(resolved(names))
        given = {keyword.arg for keyword in call.keywords}
        assert accepted is None or given <= accepted or span == REJECTED


@pytest.mark.parametrize(
    "span", [span for span in SPANS if re.match(r"sf\.(Run|TPU)Config\(", span)]
)
def test_a_shown_config_is_valid(span):
    if span != REJECTED:
        assert eval(span, {"sf": sf})


def test_the_shown_error_is_the_real_one():
    shown = next(text for language, text in BLOCKS if language == "text")
    with pytest.raises(sf.ConfigError) as error:
        eval(REJECTED, {"sf": sf})
    assert str(error.value) == shown.strip()


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_the_code_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "porting.md", "exec"), {"__name__": "porting"})
