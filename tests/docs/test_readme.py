"""The README's code runs, its commands are real, and every setting and hook stands in it."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0][:40])
def test_python_blocks_run(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_example_explains_and_draws(capsys):
    names: dict[str, object] = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    assert names["record"]["status"] == "ready" and names["record"]["matches"]
    assert names["picture"].ndim == 3 and names["picture"].std() > 10
    assert "ready" in capsys.readouterr().out


def test_first_two_commands_set_up_demonstrate_and_test():
    demo, tests = (block.strip() for block in blocks("bash")[:2])
    assert demo.startswith("pip install ") and demo.endswith("&& pairx-plugin demo")
    assert tests.startswith("pip install ") and tests.endswith("&& pytest")
    assert "\n" not in demo + tests
    for command in (demo, tests):
        assert {"torch", "torchvision"} <= set(shlex.split(command))


def test_commands_exist():
    from pairx_plugin.cli.documentation import command_names

    used = set(re.findall(r"pairx-plugin (\w+)", " ".join(blocks("bash"))))
    assert used and used <= set(command_names())
    for name in command_names():
        assert f"pairx-plugin {name}" in README


def test_settings_and_hooks_stand_in_the_readme():
    from pairx_hooks.documentation import hook_names
    from pairx_plugin.settings import Settings

    for name in [field.name for field in dataclasses.fields(Settings)] + list(hook_names()):
        assert f"`{name}" in README, name


def test_configuration_is_read_by_the_sample_host(tmp_path):
    from pairx_plugin.hosts.local import LocalHostConfig

    (tmp_path / "annotations.csv").write_text("theta\n", encoding="utf-8")
    path = tmp_path / "host.toml"
    path.write_text(blocks("toml")[0], encoding="utf-8")
    config = LocalHostConfig.from_file(path)
    assert config.settings().explain and config.settings().top_k == 5


def test_links_inside_the_project_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_curl_example_is_answered_by_the_service_that_the_command_before_it_starts():
    pytest.importorskip("fastapi", reason="needs the extra 'serve'")
    from starlette.testclient import TestClient

    from pairx_plugin.hosts.ml_service import ApiServer, ExplainService, ServedModels
    from pairx_plugin.hosts.ml_service.configuration import ModelSource
    from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate

    start, call = next((one, two) for one, two in zip(blocks("bash"), blocks("bash")[1:]) if two.startswith("curl "))
    arguments = shlex.split(start)
    name, _, where = arguments[arguments.index("--model") + 1].partition("=")
    rules = GateRules(roots=(ROOT / arguments[arguments.index("--root") + 1],))
    models = ServedModels.from_sources({name: ModelSource(where=where)})
    asked = shlex.split(call)
    server = ApiServer(ExplainService(models, PhotographGate(rules)), hosts=("127.0.0.1",))
    client = TestClient(server.app, base_url=asked[1].partition("/explain/")[0])
    header = asked[asked.index("-H") + 1].partition(": ")
    answer = client.post("/explain/", content=asked[asked.index("-d") + 1], headers={header[0]: header[2]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == 1 and answer.json()["explanations"][0]["status"] == "ready"
