"""scikit-learn's own tests of its MLP, run on fastnn's: its file, with the import changed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")
SPEC = find_spec("sklearn.neural_network.tests.test_mlp")
if SPEC is None or SPEC.origin is None:
    pytest.skip("this scikit-learn was installed without its tests", allow_module_level=True)

IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
source = Path(SPEC.origin).read_text(encoding="utf-8")
assert source.count(IMPORT) == 1
exec(compile(source.replace(IMPORT, "from fastnn.sklearn import MLPClassifier, MLPRegressor"), SPEC.origin, "exec"))

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def global_random_seed() -> int:
    return 42
