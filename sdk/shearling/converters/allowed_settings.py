"""Refuse settings of estimators that no converter is known to read.

A setting may change an estimator's answers in a way that the graph does not have, and the example
may not show it. So a setting that differs from its default must be listed here: either it only
steers fitting, whose result the graph holds, or the converter reads it. A setting that a new
release adds is on no list, and is refused until someone has looked at it.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Settings that only steer fitting, in all of scikit-learn.
_FITTING = _words(
    """
    alpha alpha_1 alpha_2 alpha_init alpha_per_target alphas average batch_size beta_1 beta_2
    bootstrap bootstrap_features C cache_size callback ccp_alpha check_inverse class_prior
    class_weight compute_inverse_components compute_labels compute_score contamination copy
    copy_x copy_X copy_X_train covariance_estimator covariance_prior criterion Cs cv
    decode_error degrees_of_freedom_prior dual early_stopping eigen_solver encoding ensemble
    eps epsilon error_score estimator estimators eta0 feature_name_combiner feature_names_out
    final_estimator fit_intercept fit_inverse_transform fit_path fit_prior force_alpha gcv_mode
    hidden_layer_sizes importance_getter init_params init_size interaction_cst
    intercept_scaling inverse_func is_data_valid is_model_valid iterated_power jitter l1_ratio
    l1_ratios l2_regularization lambda_1 lambda_2 lambda_init leaf_size learning_rate
    learning_rate_init max_bins max_depth max_df max_features max_fun max_iter max_iter_predict
    max_leaf_nodes max_n_alphas max_no_improvement max_samples max_skips max_subpopulation
    max_trials mean_precision_prior mean_prior means_init memory min_df min_features_to_select
    min_impurity_decrease min_samples min_samples_leaf min_samples_split
    min_weight_fraction_leaf momentum monotonic_cst n_clusters n_components n_estimators
    n_features_to_select n_init n_iter n_iter_no_change n_jobs n_nonzero_coefs n_oversamples
    n_quantiles n_restarts_optimizer n_subsamples nesterovs_momentum noise_variance norm_order
    nu oob_score optimizer param_distributions param_grid penalty positive
    power_iteration_normalizer power_t pre_dispatch precisions_init precompute prefit priors
    quantile_method quantile_range random_state reassignment_ratio refit reg_covar reg_param
    regressor residual_threshold return_train_score scoring selection shrinkage shrinking
    shuffle smooth_idf solver solver_options sparse_threshold splitter step stop_n_inliers
    stop_probability stop_score store_covariance store_cv_results store_precision subsample
    svd_solver threshold_lambda tol transformer_list transformers validate validation_fraction
    var_smoothing verbose verbose_feature_names_out verbose_interval warm_start
    weight_concentration_prior weight_concentration_prior_type weights_init
    """
)

#: Settings that a converter reads, or whose effect is in what it reads, by class.
_READ = {
    name: _words(settings)
    for name, settings in {
        "AdaBoostClassifier": "algorithm",
        "AdaBoostRegressor": "loss",
        "BernoulliNB": "binarize",
        "Binarizer": "threshold",
        "CalibratedClassifierCV": "method",
        "CategoricalNB": "min_categories",
        "ColumnTransformer": "remainder transformer_weights",
        "ComplementNB": "norm",
        "CountVectorizer": "analyzer binary dtype lowercase ngram_range preprocessor stop_words"
        " strip_accents token_pattern tokenizer vocabulary",
        "DictVectorizer": "dtype separator sort sparse",
        "DummyClassifier": "constant strategy",
        "DummyRegressor": "constant quantile strategy",
        "FeatureHasher": "alternate_sign dtype input_type n_features",
        "FeatureUnion": "transformer_weights",
        "FunctionTransformer": "accept_sparse func",
        "GaussianMixture": "covariance_type",
        "BayesianGaussianMixture": "covariance_type",
        "GaussianProcessClassifier": "kernel multi_class",
        "GaussianProcessRegressor": "kernel n_targets normalize_y",
        "GenericUnivariateSelect": "mode param score_func",
        "GradientBoostingClassifier": "init loss",
        "GradientBoostingRegressor": "init loss",
        "HistGradientBoostingClassifier": "categorical_features loss",
        "HistGradientBoostingRegressor": "categorical_features loss quantile",
        "IncrementalPCA": "whiten",
        "KBinsDiscretizer": "dtype encode n_bins strategy",
        "KMeans": "algorithm init",
        "KNNImputer": "keep_empty_features metric missing_values n_neighbors weights",
        "KNeighborsClassifier": "algorithm metric metric_params n_neighbors p weights",
        "KNeighborsRegressor": "algorithm metric metric_params n_neighbors p weights",
        "KNeighborsTransformer": "algorithm metric metric_params mode n_neighbors p",
        "KernelPCA": "coef0 degree gamma kernel kernel_params remove_zero_eig",
        "KernelRidge": "coef0 degree gamma kernel",
        "LabelBinarizer": "neg_label pos_label sparse_output",
        "LinearSVC": "loss multi_class",
        "LinearSVR": "loss",
        "LocalOutlierFactor": "algorithm metric metric_params n_neighbors novelty p",
        "LogisticRegression": "multi_class",
        "LogisticRegressionCV": "multi_class use_legacy_attributes",
        "MLPClassifier": "activation",
        "MLPRegressor": "activation loss",
        "MaxAbsScaler": "clip",
        "MinMaxScaler": "clip feature_range",
        "MiniBatchKMeans": "init",
        "MissingIndicator": "error_on_new features missing_values sparse",
        "NearestCentroid": "metric shrink_threshold",
        "NearestNeighbors": "algorithm metric metric_params n_neighbors p radius",
        "NeighborhoodComponentsAnalysis": "init",
        "Normalizer": "norm",
        "NuSVC": "coef0 decision_function_shape degree gamma kernel probability",
        "NuSVR": "coef0 degree gamma kernel",
        "OneClassSVM": "coef0 degree gamma kernel",
        "OneHotEncoder": "categories drop dtype handle_unknown max_categories min_frequency"
        " sparse_output",
        "OrdinalEncoder": "categories dtype encoded_missing_value handle_unknown max_categories"
        " min_frequency unknown_value",
        "PCA": "whiten",
        "PLSRegression": "scale",
        "PassiveAggressiveClassifier": "loss",
        "PassiveAggressiveRegressor": "loss",
        "Pipeline": "steps",
        "PolynomialFeatures": "degree include_bias interaction_only order",
        "PowerTransformer": "method standardize",
        "QuantileRegressor": "quantile",
        "QuantileTransformer": "ignore_implicit_zeros output_distribution",
        "RANSACRegressor": "loss",
        "RFE": "",
        "RFECV": "",
        "RadiusNeighborsClassifier": "algorithm metric metric_params outlier_label p radius"
        " weights",
        "RadiusNeighborsRegressor": "algorithm metric metric_params p radius weights",
        "RandomTreesEmbedding": "sparse_output",
        "RobustScaler": "unit_variance with_centering with_scaling",
        "SGDClassifier": "loss",
        "SGDRegressor": "loss",
        "SVC": "coef0 decision_function_shape degree gamma kernel probability",
        "SVR": "coef0 degree gamma kernel",
        "SelectFdr": "score_func",
        "SelectFpr": "score_func",
        "SelectFromModel": "threshold",
        "SelectFwe": "score_func",
        "SelectKBest": "k score_func",
        "SelectPercentile": "percentile score_func",
        "SequentialFeatureSelector": "direction",
        "SimpleImputer": "add_indicator fill_value keep_empty_features missing_values strategy",
        "StackingClassifier": "passthrough stack_method",
        "StackingRegressor": "passthrough",
        "StandardScaler": "with_mean with_std",
        "TargetEncoder": "categories smooth target_type",
        "TfidfTransformer": "norm sublinear_tf use_idf",
        "TfidfVectorizer": "analyzer binary dtype lowercase ngram_range norm preprocessor"
        " stop_words strip_accents sublinear_tf token_pattern tokenizer use_idf vocabulary",
        "TransformedTargetRegressor": "func transformer",
        "TruncatedSVD": "algorithm",
        "TweedieRegressor": "link power",
        "VarianceThreshold": "threshold",
        "VotingClassifier": "flatten_transform voting weights",
        "VotingRegressor": "weights",
    }.items()
}

#: Settings of XGBoost that only steer training, or that its converter reads.
_XGBOOST = _words(
    """
    alpha base_score colsample_bylevel colsample_bynode colsample_bytree device
    early_stopping_rounds enable_categorical eta eval_metric feature_weights gamma grow_policy
    importance_type
    interaction_constraints lambda learning_rate max_bin max_cat_threshold max_cat_to_onehot
    max_delta_step max_depth max_leaves min_child_weight monotone_constraints
    n_estimators n_jobs nthread num_parallel_tree objective random_state reg_alpha reg_lambda
    sampling_method scale_pos_weight seed subsample tree_method validate_parameters verbosity
    """
)

#: Settings of LightGBM, by the names in its model files, that only steer training, or that its
#: converter reads.
_LIGHTGBM = _words(
    """
    alpha bagging_by_query bagging_fraction bagging_fraction_seed bagging_freq bagging_seed
    bin_construct_sample_cnt boost_from_average boosting cat_l2 cat_smooth categorical_feature
    cegb_penalty_feature_coupled cegb_penalty_feature_lazy cegb_penalty_split cegb_tradeoff
    data_random_seed data_sample_strategy deterministic device_type drop_rate drop_seed
    early_stopping_min_delta early_stopping_round enable_bundle eval_at extra_seed extra_trees
    fair_c feature_contri feature_fraction feature_fraction_bynode feature_fraction_seed
    feature_pre_filter first_metric_only force_col_wise force_row_wise forcedbins_filename
    forcedsplits_filename gpu_device_id gpu_platform_id gpu_use_dp histogram_pool_size
    interaction_constraints is_enable_sparse is_unbalance label_gain lambda_l1 lambda_l2
    lambdarank_norm lambdarank_position_bias_regularization lambdarank_truncation_level
    learning_rate linear_lambda max_bin max_bin_by_feature max_cat_threshold max_cat_to_onehot
    max_conflict_rate max_delta_step max_depth max_drop metric metric_freq min_data_in_bin
    min_data_in_leaf min_data_per_group min_gain_to_split min_sum_hessian_in_leaf
    monotone_constraints monotone_constraints_method monotone_penalty multi_error_top_k
    neg_bagging_fraction num_class num_gpu num_grad_quant_bins num_iterations num_leaves
    num_threads objective objective_seed other_rate path_smooth poisson_max_delta_step
    pos_bagging_fraction quant_train_renew_leaf refit_decay_rate saved_feature_importance_type
    scale_pos_weight seed skip_drop stochastic_rounding top_k top_rate tree_learner
    tweedie_variance_power uniform_drop use_missing use_quantized_grad verbosity
    xgboost_dart_mode
    """
)

#: Of these settings, the values that the converters read.
_VALUES = {
    "boosting": _words("gbdt dart"),
    "objective": _words(
        """
        regression regression_l1 huber poisson quantile gamma tweedie binary multiclass
        binary:hinge binary:logistic count:poisson multi:softprob reg:absoluteerror reg:gamma
        reg:pseudohubererror reg:quantileerror reg:squarederror reg:squaredlogerror reg:tweedie
        """
    ),
    "booster": _words("gbtree"),
    "num_parallel_tree": frozenset({1}),
    "method": _words("sigmoid isotonic yeo-johnson box-cox"),
}

_NEXT = (
    "fit without this setting, or pass format='cloudpickle' (a pickle runs code when it is loaded, "
    "so the function must allow pickles)"
)


def check_settings(parts: Iterable[Any]) -> None:
    """Refuse estimators with a setting that no converter is known to read.

    Args:
        parts: an estimator and its inner estimators. Those of other libraries than scikit-learn,
            LightGBM and XGBoost have converters that their users registered, and pass.

    Raises:
        FormatError: a setting differs from its default and is not known; the message names it.
    """
    for part in parts:
        library = type(part).__module__.partition(".")[0]
        if library == "sklearn" and hasattr(part, "fit") and type(part).__name__[0] != "_":
            known = _FITTING | _READ.get(type(part).__name__, frozenset())
            _check(part, _changed(part), known)
        elif library == "xgboost":
            _check(part, _xgboost_changes(part), _XGBOOST)
        elif library == "lightgbm" and hasattr(part, "booster_"):
            _check(part, _lightgbm_changes(part), _LIGHTGBM)


def _check(part: Any, changed: dict[str, Any], known: frozenset[str]) -> None:
    for name, value in changed.items():
        values = _VALUES.get(name)
        is_read = name in known if values is None else value in values
        if not is_read:
            raise FormatError(
                f"{type(part).__name__} with {name}={value!r:.60} cannot be converted to ONNX: the "
                f"converter is not known to read {name!r}, so the answers might differ. You can "
                f"{_NEXT}"
            )


def _changed(part: Any) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    defaults = _defaults(cast("Hashable", type(part)))
    return {
        name: value
        for name, value in part.get_params(deep=False).items()
        if not _is_same(value, defaults.get(name, inspect.Parameter.empty))
    }


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _is_same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if _is_nan(value) and _is_nan(default):
        return True
    # The values of an array, or of a Series, would be compared one by one.
    return type(value) is type(default) and not hasattr(value, "__array__") and value == default


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _xgboost_changes(part: Any) -> dict[str, Any]:
    """Return the settings of an XGBoost estimator that are not their defaults."""
    settings = part.get_params().items()
    # NaN is the default of `missing`.
    return {name: value for name, value in settings if value is not None and not _is_nan(value)}


def _lightgbm_changes(part: Any) -> dict[str, Any]:
    """Return the settings of a LightGBM model that differ from those of a model without any."""
    defaults = _lightgbm_defaults()
    settings = _lightgbm_settings(part.booster_)
    return {name: value for name, value in settings.items() if value != defaults.get(name)}


@cache
def _lightgbm_defaults() -> dict[str, str]:
    import lightgbm

    data = lightgbm.Dataset(np.arange(4.0).reshape(-1, 1), label=np.arange(4.0))
    plain = lightgbm.train({"verbosity": -1, "min_data_in_leaf": 1}, data, num_boost_round=1)
    return _lightgbm_settings(plain)


def _lightgbm_settings(booster: Any) -> dict[str, str]:
    """Return all settings in a model file, by their canonical names."""
    text = booster.model_to_string(num_iteration=1)
    section = text.partition("\nparameters:\n")[2].partition("\nend of parameters")[0]
    lines = (line.strip("[]").partition(": ") for line in section.splitlines() if line)
    return {name: value for name, _, value in lines}
