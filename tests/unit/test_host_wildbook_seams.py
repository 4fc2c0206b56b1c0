"""Attaching to a host that has no hooks, and to its import."""

import importlib
import logging
import sys
from types import SimpleNamespace

import pytest

from pairx_plugin.hosts.wildbook import loading, seams
from pairx_plugin.hosts.wildbook.shared_models import SharedModels


class Base:
    @classmethod
    def new(cls, value):
        return cls.__name__, value

    def plain(self, value):
        return value


def doubled(before):
    return lambda *args: (before(*args), "ours")


def test_seam_is_attached_once_and_comes_off_again():
    class Host(Base):
        pass

    assert seams.attach(Host, "plain", doubled) and seams.attach(Host, "plain", doubled)
    assert Host().plain(3) == (3, "ours") and Base().plain(3) == 3
    assert Host.plain.__name__ == "plain"
    assert seams.detach(Host, "plain") and not seams.detach(Host, "plain")
    assert "plain" not in vars(Host) and Host().plain(3) == 3


def test_class_method_stays_one_also_where_it_is_inherited():
    class Host(Base):
        pass

    assert seams.attach(Host, "new", doubled)
    assert Host.new(3) == (("Host", 3), "ours") and Base.new(3) == ("Base", 3)
    assert seams.attached(Host, "new") and not seams.attached(Base, "new")


def test_what_the_host_does_not_have_is_not_attached():
    assert not seams.attach(Base, "nothing", doubled)
    assert not seams.attach(SimpleNamespace(number=3), "number", doubled)


def test_whatever_ours_raises_is_logged_and_not_raised(caplog):
    def broken():
        raise ValueError("broken on purpose")

    with caplog.at_level(logging.ERROR, logger="pairx_plugin"):
        assert seams.harmless("a test", broken, otherwise=7) == 7
    assert "a test failed" in caplog.text and "broken on purpose" in caplog.text


class Panic(BaseException):
    """As compiled libraries raise it: no Exception."""


def raising(error):
    def raises(*args, **kwargs):
        raise error

    return raises


@pytest.mark.parametrize("error", [SystemExit(3), Panic("panic"), GeneratorExit(), MemoryError()], ids=repr)
def test_what_would_end_a_process_is_kept_from_the_hosts_and_ctrl_c_is_not(error):
    assert seams.harmless("a test", raising(error), otherwise=7) == 7
    with pytest.raises(KeyboardInterrupt):
        seams.harmless("a test", raising(KeyboardInterrupt()))


class Network:
    def __init__(self, path):
        self.path, self.training = path, True

    def eval(self):
        self.training = False
        return self


def make_models(tmp_path, max_models=2, has_cuda=True):
    calls = []

    def get_model(cfg, checkpoint_path=None, use_gpu=True):
        calls.append(use_gpu)
        return Network(checkpoint_path)

    models = SharedModels(max_models)
    for name in "abc":
        (tmp_path / name).write_text(name)
    config = SimpleNamespace(model_params={"n": 1})
    return models, models.keeping(get_model, lambda: has_cuda), config, calls


def test_network_is_read_once_while_sharing_and_every_time_otherwise(tmp_path):
    models, get_model, config, calls = make_models(tmp_path)
    assert get_model(config, tmp_path / "a") is not get_model(config, tmp_path / "a")
    with models.sharing():
        kept = get_model(config, tmp_path / "a")
        assert get_model(config, tmp_path / "a") is kept and not kept.training
    assert get_model(config, tmp_path / "a").training
    assert (models.n_loads, models.n_shared, len(calls)) == (4, 1, 4)


def test_changed_file_or_parameters_are_read_anew(tmp_path):
    models, get_model, config, _ = make_models(tmp_path)
    with models.sharing():
        first = get_model(config, tmp_path / "a")
        assert get_model(SimpleNamespace(model_params={"n": 2}), tmp_path / "a") is not first
        (tmp_path / "a").write_text("other weights")
        assert get_model(config, tmp_path / "a") is not first


def test_network_not_used_for_longest_goes_first_and_takes_its_companion_along(tmp_path):
    models, get_model, config, _ = make_models(tmp_path, max_models=2)
    made = []

    def make():
        made.append(object())
        return made[-1]

    with models.sharing():
        a, b = get_model(config, tmp_path / "a"), get_model(config, tmp_path / "b")
        assert models.companion(a, make) is models.companion(a, make)
        models.companion(b, make)
        get_model(config, tmp_path / "a")
        get_model(config, tmp_path / "c")
        assert models.file_of(b) is None and models.file_of(a)["size"] == 1
        assert get_model(config, tmp_path / "b") is not b
    stranger = Network("x")
    assert models.companion(stranger, make) is not models.companion(stranger, make)
    assert len(made) == 4


def test_network_that_cannot_be_recognised_is_read_as_without_us(tmp_path):
    class Odd:
        def __repr__(self):
            raise RuntimeError("no")

    models, get_model, _, calls = make_models(tmp_path)
    with models.sharing():
        odd = SimpleNamespace(model_params=Odd())
        assert get_model(odd, tmp_path / "a") is not get_model(odd, tmp_path / "a")
    assert len(calls) == models.n_loads == 2 and models.n_shared == 0


def test_machine_without_cuda_overrules_the_wish_for_it(tmp_path):
    _, get_model, config, calls = make_models(tmp_path, has_cuda=False)
    get_model(config, tmp_path / "a")
    get_model(config, tmp_path / "a", use_gpu=True)
    _, with_cuda, _, wished = make_models(tmp_path, has_cuda=True)
    with_cuda(config, tmp_path / "a")
    assert calls == [False, False] and wished == [True]


@pytest.fixture()
def host_module(tmp_path, monkeypatch):
    """A module that stands for the host's plugin, importable and not imported yet."""
    package = tmp_path / "stand_in_host"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_plugin.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    watchers = list(sys.meta_path)
    yield "stand_in_host._plugin"
    sys.meta_path[:] = watchers
    for name in ("stand_in_host", "stand_in_host._plugin"):
        sys.modules.pop(name, None)


def test_plugin_is_attached_when_the_host_is_imported_and_once(host_module, monkeypatch):
    attached = []
    monkeypatch.setattr(loading, "_attach", lambda module: attached.append(module.VALUE) or True)
    assert loading.wait_for_host(host_module) is False and loading.wait_for_host(host_module) is False
    assert attached == []
    module = importlib.import_module(host_module)
    assert attached == [3] and module.__file__.endswith("_plugin.py")
    assert loading.wait_for_host(host_module) is True and attached == [3, 3]


def test_failed_attaching_is_logged_and_the_host_is_imported_all_the_same(host_module, caplog):
    loading.wait_for_host(host_module)
    with caplog.at_level(logging.ERROR, logger="pairx_plugin"):
        assert importlib.import_module(host_module).VALUE == 3
    assert "the host runs without explanations" in caplog.text and "MiewIdRequest" in caplog.text


@pytest.mark.parametrize("error", [ImportError("gone"), SystemExit(3), Panic("panic")], ids=repr)
def test_plugin_that_cannot_be_imported_leaves_the_host_as_it_is(host_module, monkeypatch, caplog, error):
    from pairx_plugin.hosts.wildbook import installing

    monkeypatch.setattr(installing, "install", raising(error))
    loading.wait_for_host(host_module)
    with caplog.at_level(logging.ERROR, logger="pairx_plugin"):
        assert importlib.import_module(host_module).VALUE == 3
    assert "the host runs without explanations" in caplog.text


def test_missing_host_is_told_by_install():
    from pairx_plugin.errors import HostError, HostUnavailable
    from pairx_plugin.hosts.wildbook import install

    if "wbia_miew_id" not in sys.modules:
        with pytest.raises(HostUnavailable, match="wbia_miew_id._plugin cannot be imported"):
            install()
    with pytest.raises(HostError, match="MiewIdRequest"):
        install(SimpleNamespace(__name__="other"))


def test_path_file_is_one_line_that_looks_at_the_variable_first(tmp_path, monkeypatch):
    path = loading.write_path_file(tmp_path)
    (line,) = path.read_text().splitlines()
    assert line.startswith("import os; os.environ.get('PAIRX_WILDBOOK_LOAD') and ")
    waited = []
    monkeypatch.setattr(loading, "wait_for_host", lambda: waited.append(1))
    for value, times in (("", 0), ("0", 0), ("1", 1)):
        monkeypatch.setenv("PAIRX_WILDBOOK_LOAD", value)
        exec(line)
        assert len(waited) == times


def test_package_imports_nothing_heavy(tmp_path):
    import subprocess

    code = (
        "import sys; import pairx_plugin.hosts.wildbook.loading, pairx_plugin.hosts.wildbook as w;"
        "w.wait_for_host; assert not {'torch', 'numpy', 'cv2', 'pluggy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
