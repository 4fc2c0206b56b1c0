"""``pairx-plugin evaluate`` on a small network, from photographs to a page, and on again after an interruption."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
SMALL = ("--model", "timm:resnet18", "--input-size", "64", "--pairs", "2", "--measure", "plausibility")


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three individuals, two photographs each: one picture of noise, shifted."""
    folder = tmp_path_factory.mktemp("animals")
    rows = []
    for individual in range(3):
        noise = np.random.default_rng(individual).integers(0, 256, (9, 12, 3), np.uint8)
        whole = Image.fromarray(noise).resize((140, 110), Image.Resampling.BICUBIC)
        for shot in range(2):
            name = f"{individual}_{shot}.png"
            whole.crop((8 * shot, 5 * shot, 8 * shot + 120, 5 * shot + 90)).save(folder / name)
            rows.append(["0", "left", f"animal {individual}", name, "beast", name, 0, 0, 120, 90])
    with open(folder / "animals.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow("theta viewpoint name file_name species file_path x y w h".split())
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def first(call, animals, tmp_path_factory):
    """The folder of a first evaluation, and what it wrote to the standard output."""
    folder = tmp_path_factory.mktemp("evaluation")
    done = call(
        "evaluate", "--data", animals / "animals.csv", *SMALL, "--measure", "sanity", "--variant",
        "other:explainer=pairx,k_lines=8", "--explainer", "pairx", "-o", folder, "--json",
    )
    assert done.exit_code == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_table_json_and_page_hold_every_variant(first):
    folder, found = first
    names = [variant["name"] for variant in found["variants"]]
    assert names[:2] == ["pairx", "other"] and set(names[2:]) == {
        "null_random", "null_centre", "null_edges", "null_kpca_cam", "null_matches"
    }
    assert found["pairs"]["same"] == 2 and found["pairs"]["individuals"] == 3 and not found["failures"]
    figures = {(row["variant"], row["figure"]): row for row in found["figures"]}
    assert figures["pairx", "identity_share"]["value"] == 1.0
    assert figures["null_centre", "pair_sensitivity"]["value"] == 0.0
    assert figures["null_centre", "identity_share"]["dropped"] == {"NO_MATCHES": 2}
    for variant in names:
        row = figures[variant, "randomised_rho"]
        assert row["n"] + row["n_dropped"] == 2
    with open(folder / "figures.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(found["figures"]) and {row["variant"] for row in table} == set(names)
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert "<script" not in page and "Sanity checks" in page and page.count("<svg") >= 3
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["checks"] == found["checks"]


def test_baselines_that_know_no_network_fail_the_check(first):
    verdicts = {(row["variant"], row["check"]): row["passed"] for row in first[1]["checks"]}
    for name in ("null_random", "null_centre", "null_edges", "null_matches"):
        assert verdicts[name, "depends on the network"] is False
    for name in ("null_centre", "null_edges", "null_kpca_cam"):
        assert verdicts[name, "depends on the partner"] is False


def test_second_call_goes_on_where_the_first_was_cut_off(call, animals, first, tmp_path, monkeypatch):
    from pairx_plugin.evaluation import running

    folder = tmp_path / "evaluation"
    shutil.copytree(first[0], folder)
    results = folder / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines()
    results.write_text("\n".join(lines[:-3]) + "\n" + lines[-3][:20], encoding="utf-8")
    measured = []
    monkeypatch.setitem(
        running.MEASURE_OF, "sanity", _watched(running.MEASURE_OF["sanity"], measured)
    )
    monkeypatch.setitem(
        running.MEASURE_OF, "plausibility", _watched(running.MEASURE_OF["plausibility"], measured)
    )
    done = call(
        "evaluate", "--data", animals / "animals.csv", *SMALL, "--measure", "sanity", "--variant",
        "other:explainer=pairx,k_lines=8", "--explainer", "pairx", "-o", folder, "--json",
    )
    assert done.exit_code == 0, done.stderr
    assert len(measured) == 3
    found = json.loads(done.stdout)
    mine, theirs = ([row for row in item["figures"] if "sec" not in row["figure"] and "forward" not in row["figure"]]
                    for item in (found, first[1]))
    assert mine == theirs


def _watched(measure, seen):
    def watched(*arguments):
        seen.append(arguments)
        return measure(*arguments)

    return watched


def test_folder_of_another_evaluation_is_refused_unless_fresh(call, animals, first, tmp_path):
    folder = tmp_path / "evaluation"
    shutil.copytree(first[0], folder)
    asked = ("evaluate", "--data", animals / "animals.csv", *SMALL, "--seed", "5", "--no-baselines", "-o", folder)
    refused = call(*asked)
    assert refused.exit_code == 2 and "another" in refused.stderr and "--fresh" in refused.stderr
    done = call(*asked, "--fresh")
    assert done.exit_code == 0 and "report:" in done.stdout


def test_explainer_that_fails_is_noted_and_the_others_go_on(animals, tmp_path):
    from pairx_hooks import ExplainerEntry, build_manager

    from pairx_plugin.evaluation import Plan, evaluate, find_source, plain_variant, summarise, write_files
    from pairx_plugin.models.catalogue import ModelCatalogue

    class Broken:
        explainer_id, version = "broken", "1"

        def prepare(self, model, query, settings):
            raise RuntimeError("broken on purpose")

    entry = ExplainerEntry(explainer_id="broken", title="Broken", summary="None.", create=Broken)
    entries = {**build_manager().explainers(), "broken": entry}
    model = ModelCatalogue().load("timm:resnet18", input_size=(64, 64))
    variants = [plain_variant("broken"), plain_variant("pairx")]
    plan = Plan(n_pairs=1, measures=("plausibility",))
    run = evaluate(model, find_source(str(animals / "animals.csv")), variants, plan, tmp_path, entries=entries)
    summary = summarise(run)
    assert "broken on purpose" in run.failures["broken"][0] and "pairx" not in run.failures
    assert summary.value("pairx", "seconds") > 0 and summary.value("broken", "seconds") is None
    assert "broken on purpose" in write_files(run, summary, tmp_path)["report"].read_text(encoding="utf-8")


def test_sample_data_bring_masks_places_and_attributes(tmp_path):
    pytest.importorskip("pairx_sample_data")
    from pairx_plugin.evaluation import Plan, evaluate, find_source, plain_variant, summarise
    from pairx_plugin.models.catalogue import ModelCatalogue

    model = ModelCatalogue().load("sample", input_size=(96, 96))
    plan = Plan(n_pairs=1, measures=("correspondence", "conservation", "stability", "attributes"))
    variants = [plain_variant("pairx"), plain_variant("null_matches", baseline=True)]
    run = evaluate(model, find_source("sample"), variants, plan, tmp_path)
    table = summarise(run)
    assert not run.failures
    for name in ("pairx", "null_matches"):
        assert table.value(name, "similarity_pck_10") >= 0.3  # the network's own cells find themselves when turned
        assert 0.0 < table.value(name, "mass_inside") <= 1.0 and 0.0 <= table.value(name, "occluder_mass") <= 1.0
        assert 0.0 <= table.value(name, "true_pck_05") <= table.value(name, "true_pck_10") <= 1.0
    assert table.value("pairx", "inflation") > 0 and table.value("pairx", "swap_rho") == pytest.approx(1.0, abs=1e-6)
    assert table.cell("pairx", "attribute_ap").dropped == {"NO_ATTRIBUTES": 1}


def test_checks_part_an_explainer_that_knows_the_partner_from_those_that_do_not(tmp_path):
    pytest.importorskip("pairx_sample_data")
    from pairx_plugin.evaluation import Plan, evaluate, find_source, parse_variant, plain_variant, summarise
    from pairx_plugin.models.catalogue import ModelCatalogue

    model = ModelCatalogue().load("sample", input_size=(96, 96))
    weight = "explainer=similarity_attention,options.attention_weight="
    variants = [parse_variant(f"{name}:{weight}{name}", ("similarity_attention",)) for name in ("product", "paper")]
    variants.append(plain_variant("null_kpca_cam", baseline=True))
    plan = Plan(n_pairs=3, n_photographs=48, measures=("sanity",))
    run = evaluate(model, find_source("sample"), variants, plan, tmp_path)
    table = summarise(run)
    passed = {item.variant: item.passed for item in table.verdicts if item.check == "depends on the partner"}
    assert not run.failures and passed == {"product": True, "paper": False, "null_kpca_cam": False}
    # a rival is looked for by the individuals' names
    pair = run.pairs[0]
    triplet = parse_variant(
        "t:explainer=similarity_attention,options.attention_mode=triplet", ("similarity_attention",)
    )
    query, candidate = run.bench.pair(pair)
    maps = [run.bench.explain(variant, query.chip, candidate.chip, rivals=run.bench.rivals(pair)).maps[0]
            for variant in (variants[0], triplet)]
    assert (query.chip.name, candidate.chip.name) == (query.name, candidate.name) and not np.allclose(*maps)
    # the published weights make a sum of activations of a wide embedding, whoever the partner is
    assert table.value("paper", "pair_sensitivity") < 0.01 < 0.3 < table.value("product", "pair_sensitivity")


def test_named_attributes_are_judged_by_what_the_photographs_show():
    from types import SimpleNamespace

    from pairx_plugin.chips import Chip
    from pairx_plugin.evaluation.measures.attributes import measure_attributes
    from pairx_plugin.evaluation.pair_choice import EvaluationPair
    from pairx_plugin.evaluation.subjects import Subject

    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    there = np.zeros((4, 4), np.float32)
    there[0, 0] = 1.0

    def subject(subject_id, words, unsure=()):
        return Subject(subject_id=subject_id, name="a", chip=Chip.from_array(picture), words=frozenset(words),
                       unsure=frozenset(unsure))

    items = [
        SimpleNamespace(name="scar", kind="same", confidence=0.9, score=0.9, map_0=there, map_1=there),
        SimpleNamespace(name="notch", kind="same", confidence=0.6, score=0.5, map_0=there[::-1], map_1=there),
        SimpleNamespace(name="blotch", kind="same", confidence=0.5, score=0.4, map_0=None, map_1=None),
        SimpleNamespace(name="left", kind="different", confidence=0.9, score=0.99, map_0=there, map_1=None),
    ]
    subjects = {"q": subject("q", {"scar", "left"}), "c": subject("c", {"scar", "notch"}, {"blotch"})}
    bench = SimpleNamespace(
        subject_set=SimpleNamespace(
            vocabulary=frozenset({"scar", "notch", "blotch", "left"}),
            truth=SimpleNamespace(marks=lambda item: {"scar": np.pad(np.ones((8, 8), bool), ((0, 24), (0, 24)))}),
        ),
        pair=lambda pair: (subjects["q"], subjects["c"]),
        other=lambda pair: None,
        rivals=lambda pair: [],
        rng=lambda *names: np.random.default_rng(0),
        explain=lambda *a, **k: SimpleNamespace(evidence=SimpleNamespace(attributes=items)),
        scores=lambda pictures, partner: np.array([0.4, 0.7]),
    )
    pair = EvaluationPair(pair_id="q | c", query_id="q", candidate_id="c", individual="a", same=True, similarity=0.9,
                          stratum="")
    found = measure_attributes(bench, None, pair)
    assert found.figures["attribute_ap"] == 1.0 and found.figures["attribute_top1"] == 1.0
    assert found.figures["removal_effect"] == pytest.approx(0.3)
    assert found.figures["attribute_mark_lift"] > 8.0
    assert found.details["said"] == [[0.9, True], [0.6, False]]  # not the blotch, which nobody can say
    bench.explain = lambda *a, **k: SimpleNamespace(evidence=SimpleNamespace(attributes=(), abstained=True))
    assert set(measure_attributes(bench, None, pair).dropped.values()) == {"ABSTAINED"}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--data", "nothing.csv"), "there is no data"),
        (("--explainer", "pairy"), "not registered"),
        (("--variant", "x:mode=fast"), "reference"),
        (("--measure", "santy"), "sanity"),
        (("--variant", "null_edges:explainer=pairx"), "null baselines"),
        (("--profile", "slow"), "quick, full"),
    ],
)
def test_wrong_words_end_with_what_would_do(call, tmp_path, arguments, words):
    done = call("evaluate", *arguments, "-o", tmp_path / "x")
    assert done.exit_code == 2 and words in done.stderr, done.stderr


def test_data_set_of_the_library_is_read_by_its_own_code(tmp_path):
    pytest.importorskip("wildlife_datasets", reason="needs the extra 'wildlife'")
    from pairx_plugin.errors import SettingsError
    from pairx_plugin.evaluation import find_source

    for individual, shots in (("1", ("a_left", "b_right")), ("2", ("c_left",))):
        folder = tmp_path / "data" / "Nyala_Data_Zero" / "train" / individual
        folder.mkdir(parents=True)
        for shot in shots:
            Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / f"{shot}.jpg")
    source = find_source(f"wildlife:NyalaData:{tmp_path}")
    assert sorted(str(item.name) for item in source.annotations) == ["1", "1", "2"]
    assert {item.viewpoint for item in source.annotations} == {"left", "right"}
    assert all(Path(item.image).is_file() for item in source.annotations)
    with pytest.raises(SettingsError, match="NyalaData"):
        find_source(f"wildlife:NyalaDat:{tmp_path}")
