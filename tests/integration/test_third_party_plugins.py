"""The plugins of tests/third_party, installed into a folder as somebody else's would be, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from pairx_plugin.settings_files import read_settings_file

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision", reason="the plugin's network is one of torchvision's")
pytest.importorskip("typer", reason="needs the extra 'cli'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")
pytest.importorskip("jinja2", reason="needs the extra 'sample'")
pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")

SOURCES = Path(__file__).parents[1] / "third_party"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with both plugins, installed by pip without a network; by hand where there is no pip or setuptools."""
    folder = tmp_path_factory.mktemp("third-party")
    if not all(map(find_spec, ("pip", "setuptools"))):
        for name in ("explainer_plugin", "model_plugin"):
            install_by_hand(SOURCES / name, folder / "site")
        return folder / "site"
    copies = [shutil.copytree(SOURCES / name, folder / name) for name in ("explainer_plugin", "model_plugin")]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", folder / "site", *copies],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def install_by_hand(source: Path, site: Path) -> None:
    """Do what an installer does with a pure distribution: copy its modules, and write down what it is."""
    facts = read_settings_file(source / "pyproject.toml")
    name, version = facts["project"]["name"], facts["project"]["version"]
    about = site / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    points = "".join(f"{key} = {value}\n" for key, value in facts["project"]["entry-points"]["match_review"].items())
    (about / "entry_points.txt").write_text(f"[match_review]\n{points}", "utf-8")
    for module in facts["tool"]["setuptools"]["py-modules"]:
        shutil.copy(source / f"{module}.py", site)


def test_installed_by_hand_they_are_found_as_well(tmp_path):
    for name in ("explainer_plugin", "model_plugin"):
        install_by_hand(SOURCES / name, tmp_path)
    found = {
        point.name: (point.value, found.version)
        for found in distributions(path=[str(tmp_path)])
        for point in found.entry_points
        if point.group == "match_review"
    }
    assert found == {"acme-network": ("acme_network", "1.0"), "acme-occlusion": ("acme_occlusion", "1.0")}


@pytest.fixture(scope="module")
def weights(tmp_path_factory, settled) -> Path:
    """Seeded weights of the plugin's network."""
    network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    path = tmp_path_factory.mktemp("weights") / "acme-resnet.pt"
    torch.save(settled(network, size=64).state_dict(), path)
    return path


@pytest.fixture()
def run(installed, weights, tmp_path):
    """Run Python in another process that has the plugins on its path: ``run("-m", "pairx_plugin", "hooks")``."""

    def call(*arguments, acme_weights=weights):
        environment = {
            **os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "COLUMNS": "200",
            "ACME_WEIGHTS": str(acme_weights),
        }
        return subprocess.run(
            [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=tmp_path
        )

    return call


@pytest.fixture()
def pictures(tmp_path, make_texture):
    """Two photographs on the disk."""
    from PIL import Image

    paths = [tmp_path / "query.png", tmp_path / "candidate.png"]
    for seed, path in enumerate(paths):
        Image.fromarray(make_texture(seed, 128)).save(path)
    return paths


def test_both_are_found_by_their_entry_points_and_listed(run):
    done = run("-m", "pairx_plugin", "hooks", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = {plugin["name"]: plugin for plugin in told["plugins"] if plugin["name"].startswith("acme")}
    assert {name: (plugin["distribution"], plugin["version"], plugin["hooks"]) for name, plugin in found.items()} == {
        "acme-network": ("acme-network", "1.0", ["provide_embedding_model"]),
        "acme-occlusion": ("acme-occlusion", "1.0", ["register_explainers"]),
    }
    entry = next(item for item in told["explainers"] if item["explainer_id"] == "acme-occlusion")
    assert entry["title"] == "Occlusion" and told["failures"] == []


def test_explainer_explains_with_the_network_of_the_other_plugin(run, pictures, tmp_path):
    done = run(
        *("-m", "pairx_plugin", "explain", *pictures, "--model", "acme-resnet", "--explainer", "acme-occlusion"),
        *("--set", "options.grid=3", "--output", tmp_path / "out", "--json"),
    )
    assert done.returncode == 0, done.stderr
    (pair,) = json.loads(done.stdout)["explanations"]
    assert pair["status"] == "ready" and set(pair["pictures"]) == {"matches", "heatmask", "clean"}
    record = json.loads(Path(pair["record"]).read_text("utf-8"))
    assert (record["algorithm"], record["model_id"], record["layer_key"]) == ("acme-occlusion", "acme-resnet", "input")
    assert record["grid"] == {"0": [3, 3], "1": [3, 3]} and record["num_matches"] == 0
    assert max(item["vmax"] for item in record["maps"]) > 0 and -1 <= record["similarity"] <= 1
    assert "acme-occlusion" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_network_serves_pairx_and_its_own_layer(run, pictures, tmp_path):
    done = run(
        *("-m", "pairx_plugin", "explain", *pictures, "--model", "acme-resnet", "--k-colors", "0", "--no-report"),
        *("--layer", "auto", "--output", tmp_path / "out", "--json"),
    )
    assert done.returncode == 0, done.stderr
    (pair,) = json.loads(done.stdout)["explanations"]
    record = json.loads(Path(pair["record"]).read_text("utf-8"))
    assert record["layer_key"] == "layer2" and record["grid"]["0"] == [16, 16] and record["num_matches"] > 0
    assert record["provenance"]["layer_choice"]["rule"] == "MODEL_DEFAULT"


def test_broken_network_says_so_in_its_own_words(run, pictures):
    done = run("-m", "pairx_plugin", "explain", *pictures, "--model", "acme-resnet", acme_weights="")
    assert done.returncode == 2 and "set ACME_WEIGHTS to the file" in done.stderr and "Traceback" not in done.stderr
    options = ("--model", "acme-resnet", "--input-size", "64")
    done = run("-m", "pairx_plugin", "explain", *pictures, *options)
    assert done.returncode == 2 and "leave out input_size" in done.stderr


def test_explain_ranking_takes_the_explainer_by_its_id(run, tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent(
            """
            import json
            import numpy as np
            from pairx_hooks import build_manager
            from pairx_plugin import explain_ranking

            model = build_manager().embedding_model("acme-resnet")
            query = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
            (found,) = explain_ranking(model, query, [query[:, ::-1].copy()], explainer="acme-occlusion", layer="auto")
            print(json.dumps(found.to_json()))
            """
        ),
        "utf-8",
    )
    done = run(script)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["algorithm"], record["grid"]["0"]) == ("ready", "acme-occlusion", [4, 4])
    assert record["provenance"]["layer_choice"]["rule"] == "EXPLAINER_DEFAULT"
    assert record["params"]["layers"] == ["input"]


def test_explainer_and_network_are_measured_as_ours_are(run, tmp_path, make_texture):
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from PIL import Image

    rows = ["theta,viewpoint,name,file_name,species,file_path,x,y,w,h"]
    for number in range(6):
        Image.fromarray(make_texture(number // 2, 96)).save(tmp_path / f"{number}.png")
        rows.append(f"0,left,animal-{number // 2},{number}.png,cat,{number}.png,{number},0,{96 - number},96")
    (tmp_path / "animals.csv").write_text("\n".join(rows) + "\n", "utf-8")
    done = run(
        *("-m", "pairx_plugin", "evaluate", "--data", tmp_path / "animals.csv", "--model", "acme-resnet"),
        *("--explainer", "acme-occlusion", "--pairs", "1", "--measure", "sanity", "--measure", "faithfulness"),
        *("--measure", "stability", "--no-baselines", "--output", tmp_path / "out", "--json"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model_id"] == "acme-resnet" and not found["failures"]
    figures = {row["figure"]: row["value"] for row in found["figures"]}
    assert 0.0 <= figures["randomised_rho"] <= 1.0 and figures["seed_rho"] == pytest.approx(1.0)
    assert found["checks"][0]["passed"] is not None


def test_sample_host_ranks_with_the_network_and_asks_for_the_explainer(run, tmp_path, make_texture):
    from PIL import Image

    rows = ["theta,viewpoint,name,file_name,species,file_path,x,y,w,h"]
    for number in range(4):
        Image.fromarray(make_texture(number // 2, 96)).save(tmp_path / f"{number}.png")
        rows.append(f"0,left,animal-{number // 2},{number}.png,cat,{number}.png,0,0,{96 - number},96")
    (tmp_path / "animals.csv").write_text("\n".join(rows) + "\n", "utf-8")
    (tmp_path / "host.toml").write_text(
        'annotations = "animals.csv"\nimages = "."\noutput = "out"\nmodel = "acme-resnet"\nqueries = "one_per_name"\n'
        'pairx_explain = true\npairx_explainer = "acme-occlusion"\npairx_top_k = 1\n',
        "utf-8",
    )
    done = run("-m", "pairx_plugin", "run", tmp_path / "host.toml", "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "out").rglob("*.json")]
    made = [item for item in found if item.get("schema") == "pairx.explanation/1" and item["status"] == "ready"]
    assert len(made) == 2 and {(item["algorithm"], item["model_id"]) for item in made} == {
        ("acme-occlusion", "acme-resnet")
    }
