"""A support vector machine with a kernel, and with probabilities."""

from perennial.estimators.base import EstimatorSpec

ESTIMATOR = EstimatorSpec(
    name="svm",
    class_path="perennial.classifiers.calibrated_svc:CalibratedSVC",
    parameters=("C", "degree", "folds", "gamma", "kernel"),
    foreign_types=(
        # The support vectors, where features are sparse: three arrays.
        "scipy.sparse._csr.csr_matrix",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
    ),
)
