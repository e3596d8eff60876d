"""The team in processes of several kinds: after a fork, in workers, with a quota, beside threadpoolctl."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import fastnn
from support.hanging import HANGS

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
WAYS = [pytest.param("fork", marks=needs_fork), pytest.param("forkserver", marks=needs_fork), "spawn"]

WORK = '''
import hashlib, os, sys, threading, time
from pathlib import Path

import numpy as np

import fastnn
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

TASKS = Path("/proc/self/task")
X = np.random.default_rng(0).standard_normal((3000, 17)).astype(np.float32)
Y = X[:, :3].copy()

def new_model():
    fastnn.set_random_seed(5)
    model = Sequential([Dense(128, "tanh", input_dim=17), Dropout(0.2), Dense(64, "gelu"), Dense(3)])
    model.compile("adam", "mse", metrics=["mae"])
    return model

def bits(model):
    arrays = [*model.get_weights(), model.predict(X), np.array(model.evaluate(X, Y, verbose=0))]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

def team():
    """Threads of the process that are the team's, the caller among them: Python does not know the others."""
    return 1 + len(list(TASKS.iterdir())) - threading.active_count()

def work(threads=0):
    """A fit: how many threads it may use, and its bits. 0: as many as the process uses by itself."""
    if threads:
        fastnn.set_num_threads(threads)
    model = new_model()
    model.fit(X, Y, 160, 3, 0)
    assert not TASKS.exists() or team() >= fastnn.get_num_threads()
    return fastnn.get_num_threads(), bits(model)

def wait(child):
    """The exit code of a child; it is killed when it takes too long."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"
'''

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(script, *arguments, **environment)` in a process of its own: what it prints."""
    (tmp_path / "work.py").write_text(WORK)

    def start(script: str, *arguments: str, **environment: str) -> str:
        (tmp_path / "main.py").write_text(textwrap.dedent(script))
        clean = {name: value for name, value in os.environ.items() if name != "FASTNN_NUM_THREADS"}
        clean |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # NumPy's threads are not to be counted
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "main.py"), *arguments],
            env=clean | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
            raise
        assert process.returncode == 0, err
        return out.strip()

    return start


# How many threads


def test_environment(run: Run) -> None:
    show = "import fastnn; print(fastnn.get_num_threads())"
    assert run(show, FASTNN_NUM_THREADS="3") == "3"
    assert run(show, FASTNN_NUM_THREADS="1000") == "256"
    assert run("from work import work; print(work()[0])", FASTNN_NUM_THREADS="3") == "3"
    at_import = """
        try:
            import fastnn
        except ValueError as error:
            print(error)
    """
    later = """
        import os, fastnn, work
        os.environ["FASTNN_NUM_THREADS"] = "many"
        for call in (fastnn.get_num_threads, lambda: work.new_model().predict(work.X)):
            try:
                call()
            except ValueError as error:
                print(error)
        fastnn.set_num_threads(2)  # mends it
        print(work.work()[0])
    """
    line = "FASTNN_NUM_THREADS must be a whole number from 1 on, got "
    for text in ("0", "many", "-1", "1.5", "0x2", "2,2", "9" * 20):
        assert run(at_import, FASTNN_NUM_THREADS=text) == f"{line}'{text}'"
    assert run(later).splitlines() == [f"{line}'many'", f"{line}'many'", "2"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity(run: Run) -> None:
    one = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); from work import work; print(work()[0])"
    assert run(one) == "1"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted on Linux only")
def test_small_work_starts_no_thread(run: Run) -> None:
    script = """
        from work import *
        fastnn.set_num_threads(8)
        model = Sequential([Dense(10, "relu", input_dim=10), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(X[:, :10], Y[:, :1], 10, 3, 0)
        model.predict(X[:100, :10].copy())
        print(team())
    """
    assert run(script) == "1"


# Workers


@pytest.mark.parametrize("way", WAYS)
def test_workers(run: Run, way: str) -> None:
    """One thread each, unless they or the environment say otherwise; the bits are the same."""
    script = """
        import multiprocessing, sys
        from work import work

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            _, bits = work(int(sys.argv[2]))
            with context.Pool(1) as pool:
                results = [pool.apply_async(work, (threads,)).get(60) for threads in (0, 2)]
            print([threads for threads, _ in results], {same for _, same in results} == {bits})
    """
    assert run(script, way, "0") == "[1, 2] True"
    assert run(script, way, "0", FASTNN_NUM_THREADS="3") == "[3, 2] True"
    # What the user chose goes with a fork, and with no other way.
    assert run(script, way, "3") == ("[3, 2] True" if way == "fork" else "[1, 2] True")


@pytest.mark.parametrize("tool", ["concurrent.futures", "joblib"])
def test_pools_of_processes(run: Run, tool: str) -> None:
    """After a fit in the parent."""
    pytest.importorskip(tool)
    script = """
        import sys
        from work import work

        if __name__ == "__main__":
            work(2)
            import fastnn
            if sys.argv[1] == "joblib":
                import joblib
                results = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(n) for n in (1, 2, 1, 2))
            else:
                from concurrent.futures import ProcessPoolExecutor
                with ProcessPoolExecutor(2) as pool:
                    results = list(pool.map(work, (1, 2, 1, 2)))
            print(results == [(threads, work(2)[1]) for threads in (1, 2, 1, 2)])
    """
    assert run(script, tool) == "True"


def test_joblib_workers_use_one_thread(run: Run) -> None:
    pytest.importorskip("joblib")
    script = """
        import joblib
        from work import work

        if __name__ == "__main__":
            print(joblib.Parallel(n_jobs=2)(joblib.delayed(work)() for _ in range(3)) == [(1, work(2)[1])] * 3)
    """
    assert run(script) == "True"


# Forks


@needs_fork
def test_a_fork_after_a_fit(run: Run) -> None:
    """Child and grandchild fit in teams of their own, and go on with the model they were born with."""
    script = """
        from work import *
        model = new_model()
        fastnn.set_num_threads(2)
        model.fit(X, Y, 160, 1, 0, shuffle=False)
        plain = new_model()
        plain.fit(X, Y, 160, 2, 0, shuffle=False)
        alone, further = work(2), bits(plain)

        def same(generations):
            if generations and wait(os.fork() or os._exit(same(generations - 1))) != 0:
                return 1
            result = work()
            model.fit(X, Y, 160, 1, 0, shuffle=False)
            return int(result != alone or bits(model) != further)

        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(same(1))
            print(wait(child))
        print(bits(new_model()) == bits(new_model()), work() == alone)
    """
    assert run(script).splitlines() == ["0", "0", "0", "True True"]


@needs_fork
def test_a_fork_during_a_fit(run: Run) -> None:
    """A child may use any model, the one that another thread was fitting too; the parent's fit goes on."""
    script = """
        from work import *
        expected, model, alone = work(2), new_model(), new_model()
        begun, callback = threading.Event(), fastnn.callbacks.Callback()
        callback.on_epoch_end = lambda *_: begun.set()
        thread = threading.Thread(target=model.fit, args=(X, Y, 160, 10**9, 0, [callback]), kwargs={"shuffle": False})
        thread.start()
        begun.wait()
        actions = {
            "fit": lambda: model.fit(X, Y, 160, 2, 0),
            "evaluate": lambda: model.evaluate(X, Y, verbose=0),
            "predict": lambda: model.predict(X),
            "penalty": lambda: model.description.network.penalty_value(),
            "compile": lambda: (model.compile("sgd", "mae"), model.fit(X, Y, 160, 2, 0)),
            "another": lambda: work(2) == expected or os._exit(2),
        }
        for name in 3 * list(actions):
            child = os.fork()
            if child == 0:
                actions[name]()
                os._exit(0)
            code = wait(child)
            if code:
                print(name, code)
        model.stop_training = True
        thread.join()
        alone.fit(X, Y, 160, len(model.history.history["loss"]), 0, shuffle=False)
        print(bits(model) == bits(alone))
    """
    assert run(script) == "True"


@needs_fork
def test_a_fork_while_a_fit_makes_ready(run: Run) -> None:
    script = """
        from work import *
        model, reached, done = new_model(), threading.Event(), threading.Event()

        class Source:
            targets = 3
            names = ()

            @property
            def input_shape(self):
                reached.set()
                done.wait()
                return (17,)

        thread = threading.Thread(target=model.description.trainer.ready, args=(Source(),))
        thread.start()
        reached.wait()
        child = os.fork()
        if child == 0:
            model.fit(X, Y, 160, 2, 0)
            os._exit(0)
        print(wait(child))
        done.set()
        thread.join()
    """
    assert run(script) == "0"


# threadpoolctl


@pytest.mark.parametrize(
    "imports",
    [
        "import fastnn, threadpoolctl",
        "import threadpoolctl, fastnn",
        "import fastnn, importlib.util; importlib.util.find_spec('threadpoolctl'); import threadpoolctl",
    ],
)
def test_threadpoolctl_sees_the_team_and_limits_it(run: Run, imports: str) -> None:
    pytest.importorskip("threadpoolctl")
    script = f"""
        {imports}
        from work import work
        fastnn.set_num_threads(3)
        seen = [entry for entry in threadpoolctl.threadpool_info() if entry["user_api"] == "fastnn"]
        print(*((entry["num_threads"], entry["version"]) for entry in seen))
        with threadpoolctl.threadpool_limits(1):
            print(work()[0])
        print(fastnn.get_num_threads())
        with threadpoolctl.threadpool_limits(2, user_api="fastnn"):
            print(work()[0])
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            print(fastnn.get_num_threads())
        print(work()[0])
    """
    lines = [f"(3, '{fastnn.__version__}')", "1", "3", "2", "3", "3"]
    assert run(script).splitlines() == lines


@pytest.mark.parametrize("order", ["import fastnn, threadpoolctl", "import threadpoolctl, fastnn"])
def test_a_threadpoolctl_that_takes_no_controllers(run: Run, order: str, tmp_path: Path) -> None:
    """Before version 3.2 there was no `register`; fastnn is then not seen, and nothing else happens."""
    (tmp_path / "threadpoolctl.py").write_text("class LibController:\n    pass\n")
    assert run(f"{order}; print(fastnn.get_num_threads() >= 1)") == "True"
