"""scikit-learn's own tests of its MLP, run on fastnn's: its file as it was installed, with the import changed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")
SPEC = find_spec("sklearn.neural_network.tests.test_mlp")
if SPEC is None or SPEC.origin is None:
    pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")

# Those that do not pass, and why; docs/scikit-learn.md has the same list.
FLOAT32 = "coefs_ and predictions are float32 for any input"
PASSES = "partial_fit takes early_stopping: patience is counted across calls"
KNOWN = {
    "test_gradient": "it calls theirs for the gradient, in float64, by a private name",
    "test_lbfgs_classification_maxfun[X1-y1]": "ours has converged before the tenth evaluation, so it does not warn",
    "test_mlp_param_dtypes[MLPClassifier-float64]": FLOAT32,
    "test_mlp_param_dtypes[MLPRegressor-float64]": FLOAT32,
    "test_mlp_partial_fit_after_fit[MLPClassifier]": PASSES,
    "test_mlp_partial_fit_after_fit[MLPRegressor]": PASSES,
}
IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"

source = Path(SPEC.origin).read_text(encoding="utf-8")
assert source.count(IMPORT) == 1
exec(compile(source.replace(IMPORT, "from fastnn.sklearn import MLPClassifier, MLPRegressor"), SPEC.origin, "exec"))


@pytest.fixture
def global_random_seed() -> int:
    return 42


@pytest.fixture(autouse=True)
def _known(request: pytest.FixtureRequest) -> None:
    if request.node.name in KNOWN:
        request.applymarker(pytest.mark.xfail(reason=KNOWN[request.node.name], strict=True))


def test_the_list_is_of_tests_that_are_there(request: pytest.FixtureRequest) -> None:
    names = {item.name for item in request.session.items if item.path == request.path}
    if len(names) > 50:
        assert names >= KNOWN.keys()
