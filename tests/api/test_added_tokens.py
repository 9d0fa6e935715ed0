"""Models with tokens of their own: forecast, measured, tuned and searched as they are merged."""

from __future__ import annotations

import json
import logging
import shlex
import shutil

import numpy as np
import pytest
import torch
import yaml

import mergecast as mc
from forecaster_files import linear_model, save_forecaster
from mergecast.cli.main import run
from mergecast.errors import FamilyError, UsageError
from mergecast.evidence.retention.merges import answer, compare
from mergecast.evidence.session import Session
from mergecast.evidence.superposition.strengths import CHOICE

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytest.importorskip("tokenizers", reason="needs the hf extra")
from token_family import (  # noqa: E402
    HEAD,
    WORDS,
    by_hand,
    said_by_hand,
    scores,
    texts_of,
    write_classifiers,
    write_language_models,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)
METHODS = ("task_arithmetic", "ties", "weight_avg")


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """Folder, base and models."""
    folder = tmp_path_factory.mktemp("classifiers")
    return folder, *write_classifiers(folder)


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """The same of language models."""
    folder = tmp_path_factory.mktemp("language")
    return folder, *write_language_models(folder)


def drawn(session, label):
    """The samples that forecasts take, as they stand in the file."""
    rows = [int(one.rpartition("/")[2]) for one in session.merge_samples(label).ids]
    return [texts_of(label)[row] for row in rows]


def test_measured_is_what_a_merge_by_hand_scores(classifiers, tmp_path):
    folder, base, models = classifiers
    measured = mc.measure(
        base, models, tasks=folder / "t.yaml", methods=METHODS, vocabulary="union"
    )
    found = scores(measured)
    assert len({score for score, _ in found.values()}) > 2
    family = mc.Family.open(base, models, private=HEAD, vocabulary="union")
    for method in METHODS:
        out = mc.write_merge(family, method, tmp_path / method, heads=True)
        for label, model in zip("ab", models, strict=True):
            expected = (by_hand(out / "heads" / label, label)[0], by_hand(model, label)[0])
            assert found[method, "a+b", label] == pytest.approx(expected)


def test_what_a_merge_answers_is_what_its_folder_answers(classifiers, tmp_path):
    """Logits, not only scores; on the samples that forecasts take."""
    folder, base, models = classifiers
    family = mc.Family.open(base, models, private=HEAD, vocabulary="union")
    out = mc.write_merge(family, "ties", tmp_path / "out", heads=True)
    with Session(family, mc.load_tasks(folder / "t.yaml")) as session:
        merged = mc.merge(family, "ties")
        for label in "ab":
            texts = drawn(session, label)
            _, logits = by_hand(out / "heads" / label, label, texts)
            torch.testing.assert_close(answer(session, label, merged, ["a", "b"]), logits)
            _, logits = by_hand(folder / label, label, texts)
            torch.testing.assert_close(session.logits(label), logits)


def test_language_models_choose_among_all_tokens_of_the_merge(language, tmp_path):
    folder, base, models = language
    found = scores(
        mc.measure(base, models, tasks=folder / "t.yaml", methods=METHODS, vocabulary="union")
    )
    family = mc.Family.open(base, models, vocabulary="union")
    for method in METHODS:
        out = mc.write_merge(family, method, tmp_path / method)
        for label, model in zip("ab", models, strict=True):
            expected = [said_by_hand(place, label) for place in (out, model)]
            assert found[method, "a+b", label] == pytest.approx(tuple(expected))


def test_the_order_of_a_tokenizer_changes_nothing(classifiers, tmp_path):
    """b's words stand in another order, its rows with them: the same models, said otherwise."""
    folder, _, _ = classifiers
    write_classifiers(tmp_path, {"b": [*WORDS[:5], *reversed(WORDS[5:])]})
    tables = [
        mc.pair_table(
            place / "base", [place / "a", place / "b"], tasks=place / "t.yaml", tier="probe",
            metrics="all", methods=METHODS, vocabulary="union",
        )
        for place in (folder, tmp_path)
    ]  # fmt: skip
    one, other = (table.to_pandas().select_dtypes("number") for table in tables)
    assert not [entry for table in tables for entry in table.missing]
    assert np.isfinite(one.to_numpy()).all()
    np.testing.assert_allclose(one.to_numpy(), other[one.columns].to_numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("call", [mc.forecast, mc.measure, mc.search, mc.pair_table])
def test_without_the_option_the_error_names_it(classifiers, call):
    folder, base, models = classifiers
    with pytest.raises(FamilyError, match="match rows by token: --vocabulary union keeps new ones"):
        call(base, models, tasks=folder / "t.yaml")


def test_an_open_family_has_its_own(classifiers):
    folder, base, models = classifiers
    family = mc.Family.open(base, models, vocabulary="union")
    with pytest.raises(UsageError, match="vocabulary: given beside a family that is open"):
        mc.forecast(family, tasks=folder / "t.yaml", vocabulary="union")


def test_the_next_command_makes_what_was_forecast(classifiers, tmp_path):
    folder, base, models = classifiers
    keep_all = {"ties": linear_model("retention_kept_labelled", 0.0)}
    forecaster = save_forecaster({"gradients": keep_all}, tmp_path / "mine.json")
    options = ("--tasks", str(folder / "t.yaml"), "--forecaster", forecaster)
    command = ["forecast", str(base), *map(str, models), *options, "--vocabulary", "union"]
    assert run([*command, "--report", str(tmp_path / "out")]) == 0
    said = json.loads((tmp_path / "out" / "forecast.json").read_text())["next"]
    words = shlex.split(said)
    assert words[words.index("--vocabulary") + 1] == "union"
    assert run([*words[1:-1], str(tmp_path / "merged")]) == 0
    family = mc.Family.open(base, models, private=HEAD, vocabulary="union")
    wanted, made = mc.merge(family, "ties"), mc.Checkpoint.open(tmp_path / "merged")
    for name in family.shared:
        np.testing.assert_array_equal(made.floats(name).reshape(-1), wanted[name].reshape(-1))


def test_a_search_ends_in_a_folder_that_scores_what_was_verified(classifiers, tmp_path):
    folder, base, models = classifiers
    out = tmp_path / "merged"
    options = ("--tasks", str(folder / "t.yaml"), "--budget", "3", "--method", "weight_avg")
    command = ["search", str(base), *map(str, models), *options, "--vocabulary", "union"]
    assert run([*command, "-o", str(out), "--json"]) == 0
    found = json.loads((out / "search.json").read_text())
    for row in found["kept"]:
        label = row["model"]
        score = by_hand(out / "heads" / label, label)[0] / by_hand(folder / label, label)[0]
        assert row["kept"] == pytest.approx(score)
    assert not (out / "mergekit.yml").exists()
    assert "matched by token, as mergekit does not" in found["mergekit"]


def test_a_strength_is_chosen_by_what_the_written_merge_keeps(classifiers, tmp_path, capsys):
    folder, base, models = classifiers
    options = ("--tasks", str(folder / "t.yaml"), "--scaling", "auto", "--vocabulary", "union")
    command = ["merge", "--method", "task_arithmetic", *options, "--heads", "-o"]
    out = tmp_path / "out"
    assert run([*command, str(out), str(base), *map(str, models), "--json"]) == 0
    tried = json.loads(capsys.readouterr().out)["tried"]
    scaling = json.loads((out / "mergecast.json").read_text())["params"]["scaling"]
    best = [row for row in tried if row["scaling"] == scaling]
    family = mc.Family.open(base, models, private=HEAD, vocabulary="union")
    with Session(family, mc.load_tasks(folder / "t.yaml")) as session:
        for label in "ab":
            _, logits = by_hand(out / "heads" / label, label, drawn(session, label))
            kept = compare(session, label, logits).values[f"{CHOICE}_labelled"]
            assert [row[f"kept {label}"] for row in best] == [pytest.approx(kept, abs=1e-5)]


def test_a_pair_of_three_is_merged_as_it_would_be_alone(classifiers, tmp_path):
    """c has one of a's tokens, too: where c takes no part, the row is a's alone."""
    folder, base, _ = classifiers
    for place in ("base", "a", "b"):
        shutil.copytree(folder / place, tmp_path / place)
    shutil.copytree(folder / "a", tmp_path / "c")
    third = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "c")
    with torch.no_grad():
        third.get_input_embeddings().weight[-2:] += 3
    third.save_pretrained(tmp_path / "c")
    tasks = mc.load_tasks(folder / "t.yaml")
    tasks = {**tasks, "c": tasks["a"]}
    three = [tmp_path / label for label in "abc"]
    options = {"methods": METHODS, "vocabulary": "union", "cache": tmp_path / "cache"}
    together = scores(mc.measure(base, three, tasks=tasks, **options))
    alone = scores(mc.measure(base, three[:2], tasks=tasks, **options))
    assert {key: together[key] for key in alone} == alone
    family = mc.Family.open(base, three, private=HEAD, vocabulary="union")
    pair = mc.Family.open(base, three[:2], private=HEAD, vocabulary="union")
    one, other = mc.merge(family, "ties", members=["a", "b"]), mc.merge(pair, "ties")
    assert all(torch.equal(one[name], other[name]) for name in other)
    written = mc.write_merge(family, "ties", tmp_path / "out", members=["a", "b"])
    read = mc.Checkpoint.open(written)
    assert all(np.array_equal(read.array(name), other[name].numpy()) for name in other)


def test_tasks_are_tried_with_models_that_have_tokens_of_their_own(classifiers, tmp_path, capsys):
    folder, base, models = classifiers
    files = [str(base), *map(str, models)]
    options = ("--vocabulary", "union")
    assert run(["tasks", "check", str(folder / "t.yaml"), *files, *options, "--json"]) == 0
    tried = json.loads(capsys.readouterr().out)["tasks"]
    assert [one["score"] for one in tried] == [1.0, 1.0]
    assert run(["tasks", "init", *files, "-o", str(tmp_path / "t.yaml"), *options]) == 0
    drafted = yaml.safe_load((tmp_path / "t.yaml").read_text().replace("TODO", "x"))
    assert set(drafted["tasks"]) == {"a", "b"}
    assert run(["tasks", "init", *files, "-o", str(tmp_path / "u.yaml")]) == 4
    assert "match rows by token: --vocabulary union" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["fisher", "regmean"])
def test_evidence_of_a_method_is_of_the_rows_that_it_merges(classifiers, tmp_path, method):
    folder, base, models = classifiers
    family = mc.Family.open(base, models, private=HEAD, vocabulary="union")
    tasks = mc.load_tasks(folder / "t.yaml")
    files = mc.merge_evidence(family, tasks=tasks, method=method, out=tmp_path)
    merged = mc.merge(family, method, evidence=files)
    assert merged["bert.embeddings.word_embeddings.weight"].shape == (len(WORDS) + 3, 16)
    assert all(bool(value.isfinite().all()) for value in merged.values())


def test_workers_measure_the_same(classifiers, tmp_path):
    folder, base, models = classifiers
    options = {"tasks": folder / "t.yaml", "budget": 4, "vocabulary": "union", "methods": "ties"}
    one, two = (mc.search(base, models, workers=n, **options) for n in (1, 2))
    assert one.to_dict()["kept"] == two.to_dict()["kept"]


def test_an_adapter_with_rows_of_its_own(language, tmp_path):
    """Its tokens' rows are saved beside its matrices; what it leaves alone is the base's."""
    peft = pytest.importorskip("peft", reason="needs the hf extra")
    folder, base, models = language
    net = transformers.AutoModelForCausalLM.from_pretrained(base)
    tokens = transformers.AutoTokenizer.from_pretrained(models[0])
    net.resize_token_embeddings(len(tokens), mean_resizing=False)
    saved = ["embed_tokens", "lm_head"]
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=saved)
    adapter = peft.get_peft_model(net, config)
    torch.manual_seed(0)
    with torch.no_grad():
        for value in adapter.parameters():
            if value.requires_grad:
                value.add_(0.5 * torch.randn(value.shape))
    adapter.save_pretrained(tmp_path / "a")
    tokens.save_pretrained(tmp_path / "a")
    adapter.merge_and_unload().save_pretrained(tmp_path / "whole" / "a")
    tokens.save_pretrained(tmp_path / "whole" / "a")
    options = {"tasks": folder / "t.yaml", "tier": "probe", "methods": "ties"}
    one, other = (
        mc.metrics(base, [place / "a", models[1]], vocabulary="union", **options)
        for place in (tmp_path, tmp_path / "whole")
    )
    kept = [name for name in one if name.startswith(("probe_kept", "retention_kept"))]
    assert kept
    np.testing.assert_allclose(one[kept].to_numpy(), other[kept].to_numpy(), atol=1e-5)


def test_a_monitor_of_a_training_says_what_helps_there(classifiers):
    folder, base, models = classifiers
    tasks = mc.load_tasks(folder / "t.yaml")
    monitor = mc.RetentionMonitor(base, [models[0]], tasks=tasks)
    net = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    with pytest.raises(FamilyError, match="vocabulary of 23 rows .*; leave it out: a model in tr"):
        monitor.begin(net)
