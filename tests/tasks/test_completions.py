"""Prompts and completions: which tokens a language model is asked about, and by what score."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest
import torch
import yaml
from test_kinds import SMALL, write_tokenizer

from mergecast.errors import UsageError
from mergecast.tasks import scores
from mergecast.tasks.completions import Row, encode
from mergecast.tasks.load import load_tasks
from mergecast.tasks.measure import measure
from mergecast.tasks.probe import Probe

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)


def task_of(folder, rows, data, *, template=None, auto="AutoModelForCausalLM", **fields):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(num_key_value_heads=2, **SMALL)
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "base")
    write_tokenizer(folder / "base", special=False)
    if template:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder / "base")
    pd.DataFrame(rows).to_parquet(folder / "t.parquet")
    spec = {"model": {"folder": "base", "auto": auto}, "data": {"file": "t.parquet", **data}}
    (folder / "t.yaml").write_text(yaml.safe_dump({"tasks": {"a": spec | fields}}))
    return load_tasks(folder / "t.yaml")["a"]


def asked(task):
    """The words that the model is asked to predict, by row."""
    samples = task.samples(None, 0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(task.folder / "base")
    return [
        tokenizer.convert_ids_to_tokens(row[row != scores.IGNORED]) for row in samples.labels
    ], samples


def test_only_the_completion_is_asked_about(tmp_path):
    rows = {"ask": ["w1 w2 ", "w3 "], "answer": ["w4", "w5 w6 w7"]}
    words, samples = asked(task_of(tmp_path, rows, {"text": "ask", "completion": "answer"}))
    assert words == [["w4"], ["w5", "w6", "w7"]]
    assert samples.inputs["attention_mask"].sum(1).tolist() == [3, 4]
    # The label of a position is the token after it.
    assert samples.labels[0].tolist() == [-100, samples.inputs["input_ids"][0, 2], -100, -100]


def test_a_long_prompt_loses_its_beginning_and_a_long_completion_its_end(tmp_path):
    rows = {"ask": ["w1 w2 w3 w4 ", "w1 w2 "], "answer": ["w5 w6", "w5 w6 w7 w8 w9"]}
    data = {"text": "ask", "completion": "answer", "max_length": 4}
    words, samples = asked(task_of(tmp_path, rows, data))
    assert words == [["w5", "w6"], ["w5", "w6", "w7"]]
    assert samples.inputs["attention_mask"].sum(1).tolist() == [4, 4]


def test_of_chats_the_answer_is_asked_about(tmp_path):
    question = {"role": "user", "content": "w1 w2"}
    answer = {"role": "assistant", "content": "w3"}
    rows = {
        "chat": [[question, answer], [question, answer, question, answer]],
        "prompt": [[question], [question, answer, question]],
        "answer": ["w3", "w3"],
        "answers": [[answer], [answer]],
    }
    found = []
    for data in (
        {"text": "chat", "completion": "chat"},
        {"text": "prompt", "completion": "answer"},
        {"text": "prompt", "completion": "answers"},
    ):
        words, samples = asked(task_of(tmp_path, rows, data, template=TEMPLATE))
        assert words == [["w3"], ["w3"]]
        found.append(samples.inputs["input_ids"])
    assert all(torch.equal(found[0], other) for other in found[1:])
    words, _ = asked(task_of(tmp_path, rows, {"text": "chat"}, template=TEMPLATE))
    assert len(words[0]) == 4  # without a completion, every token after the first


@pytest.mark.parametrize(
    ("rows", "data", "message"),
    [
        ({"ask": ["w1"], "answer": [""]}, {}, "column 'answer': is empty in 1 of the 1 rows"),
        ({"ask": ["w1"], "answer": [3]}, {}, "column 'answer': does not hold text but 3"),
        ({"ask": [3], "answer": ["w1"]}, {}, "column 'ask': does not hold text but 3"),
        ({"ask": [""], "answer": ["w1"]}, {}, "'w1'.*follows from nothing; give a prompt"),
        (
            {"ask": ["w1"], "answer": ["w1"]},
            {"completion": "ask"},
            "1 of the 1 rows taken are no chats with",
        ),
        (
            {"ask": [[{"role": "user", "content": "w1"}]], "answer": ["w2"]},
            {},
            "column 'answer': no template makes text of its chats",
        ),
        (
            {"ask": ["w1"], "answer": ["w2"]},
            {"labels": "answer"},
            "completion goes with one text, and without choices and labels",
        ),
    ],
)
def test_bad_completions_are_named(rows, data, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        task_of(tmp_path, rows, {"text": "ask", "completion": "answer"} | data).samples(1, 0)


def test_a_completion_is_for_causal_language_models(tmp_path):
    task = task_of(
        tmp_path,
        {"ask": ["w1"], "answer": ["w2"]},
        {"text": "ask", "completion": "answer"},
        auto="AutoModelForSequenceClassification",
    )
    with pytest.raises(UsageError, match=r"causal language models.* of kind classification"):
        task.samples(1, 0)


def test_a_chat_s_special_tokens_are_the_template_s_alone(tmp_path):
    write_tokenizer(tmp_path)  # adds [CLS] and [SEP] to plain texts
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    plain, _ = encode(tokenizer, [Row("w1 ", "w1 w2")], 8)
    chat, _ = encode(tokenizer, [Row("w1 ", "w1 w2", chat=True)], 8)
    assert plain["input_ids"].shape[1] == chat["input_ids"].shape[1] + 2


@pytest.mark.parametrize("score", ["accuracy", "exact_match", "likelihood"])
def test_a_task_is_scored_as_its_file_says(score, tmp_path):
    rows = {"ask": ["w1 w2 ", "w3 "], "answer": ["w4 w1", "w5 w6 w7"]}
    data = {"text": "ask", "completion": "answer"}
    task = task_of(tmp_path, rows, data, score=score)
    samples = task.samples(None, 0)
    probe = Probe(task)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    probe.load(dict(model.state_dict()))
    found = measure(probe, samples)
    logits = model(**samples.inputs).logits.double()
    expected = scores.SCORES[score](logits, samples.labels)
    assert found.samples == pytest.approx(expected.tolist(), abs=1e-6)
    if score == "likelihood":  # 1 / perplexity, as transformers' loss has it of a sample alone
        labels = samples.inputs["input_ids"][:1].clone()
        labels[0, :2] = scores.IGNORED
        labels[samples.inputs["attention_mask"][:1] == 0] = scores.IGNORED
        one = {name: value[:1] for name, value in samples.inputs.items()}
        loss = float(model(**one, labels=labels).loss)
        assert found.samples[0] == pytest.approx(torch.tensor(-loss).exp().item(), rel=1e-5)


def test_a_score_of_classes_needs_classes(tmp_path):
    rows, fields = {"ask": ["w1"]}, {"auto": "AutoModel", "score": "likelihood"}
    task = task_of(tmp_path, rows, {"text": "ask"}, **fields)
    with pytest.raises(UsageError, match="of kind embedding, which has no likelihood"):
        task.samples(1, 0)


def test_a_task_can_be_sent_to_workers(tmp_path):
    task = task_of(
        tmp_path, {"ask": ["w1 "], "answer": ["w2"]}, {"text": "ask", "completion": "answer"}
    )
    assert task.kind_name == "next_token"  # which the task keeps
    again = pickle.loads(pickle.dumps(task))
    assert torch.equal(again.samples(1, 0).labels, task.samples(1, 0).labels)
