"""Tasks as people have them: what their models' outputs, labels and losses are."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
import yaml

from mergecast.errors import UndefinedError, UsageError
from mergecast.tasks.kinds import kind_of, shifted_right
from mergecast.tasks.load import load_tasks
from mergecast.tasks.probe import Probe

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
tokenizers = pytest.importorskip("tokenizers", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 40,
}
TEXTS = ["w1 w2", "w3", "w4 w5 w6 w7", ""]


def write_tokenizer(folder, *, pad=True, special=True):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[EOS]", *(f"w{i}" for i in range(30))]
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if special:
        built.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    more = {"pad_token": "[PAD]"} if pad else {}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token="[UNK]", eos_token="[EOS]", **more
    ).save_pretrained(folder)


def task_of(folder, model, auto, data, rows, *, tokenizer=None, **fields):
    model.save_pretrained(folder / "base")
    write_tokenizer(folder / "base", **(tokenizer or {}))
    pd.DataFrame(rows).to_parquet(folder / "t.parquet")
    spec = {"model": {"folder": "base", "auto": auto}, "data": {"file": "t.parquet", **data}}
    (folder / "t.yaml").write_text(yaml.safe_dump({"tasks": {"a": spec | fields}}))
    return load_tasks(folder / "t.yaml")["a"]


def answer(task, model, count=None):
    """The task's samples and answers at the model's own weights."""
    samples = task.samples(count, 0)
    probe = Probe(task)
    probe.load(model.state_dict())
    with torch.no_grad():
        return samples, probe.forward(samples)


def bert(cls="BertForSequenceClassification", **options):
    torch.manual_seed(0)
    return getattr(transformers, cls)(transformers.BertConfig(**SMALL, **options)).eval()


@pytest.mark.parametrize(
    "text", [["one", "two"], {"text": "one", "text_pair": "two"}], ids=["list", "mapping"]
)
def test_sentence_pairs_are_two_columns(text, tmp_path):
    rows = {"one": TEXTS, "two": TEXTS[::-1], "label": [0, 1, 2, 0]}
    model = bert(num_labels=3)
    data = {"text": text, "labels": "label"}
    task = task_of(tmp_path, model, "AutoModelForSequenceClassification", data, rows)
    samples, logits = answer(task, model)
    assert logits.shape == (4, 3)
    lengths = samples.inputs["attention_mask"].sum(dim=1).tolist()
    assert lengths == [3 + 2 + 0, 3 + 1 + 4, 3 + 4 + 1, 3 + 0 + 2]


def test_a_multi_label_head_is_two_choices_for_each_label(tmp_path):
    rows = {"text": TEXTS, "label": [[1.0, 0.0, 1.0]] * 4}
    model = bert(num_labels=3, problem_type="multi_label_classification")
    data = {"text": "text", "labels": "label"}
    task = task_of(tmp_path, model, "AutoModelForSequenceClassification", data, rows)
    samples, logits = answer(task, model)
    assert task.kind.name == "multi_label"
    assert logits.shape == (4, 3, 2)
    plain = logits[..., 1]
    want = torch.nn.functional.binary_cross_entropy_with_logits(
        plain, torch.tensor([[1.0, 0.0, 1.0]] * 4), reduction="none"
    ).mean(dim=1)
    torch.testing.assert_close(task.loss(logits, samples.labels), want)
    assert task.score(logits, samples.labels).shape == (4,)


@pytest.mark.parametrize("how", ["num_labels", "problem_type", "file"])
def test_a_regression_has_a_loss_and_no_accuracy(how, tmp_path):
    options = {"num_labels": 1, "problem_type": "regression" if how == "problem_type" else None}
    model = bert(**options)
    rows = {"text": TEXTS, "label": [0.5, 1.5, 2.0, 3.25]}
    data = {"text": "text", "labels": "label"}
    fields = {"loss": "regression"} if how == "file" else {}
    task = task_of(tmp_path, model, "AutoModelForSequenceClassification", data, rows, **fields)
    samples, logits = answer(task, model)
    want = (logits[:, 0] - torch.tensor([0.5, 1.5, 2.0, 3.25])).square()
    torch.testing.assert_close(task.loss(logits, samples.labels), want)
    for undefined in (task.score, task.probability):
        with pytest.raises(UndefinedError, match="regression has no"):
            undefined(logits, samples.labels)


def test_words_and_their_labels_are_aligned_with_tokens(tmp_path):
    rows = {"words": [["w1", "w2"], ["w3"]], "tags": [[1, 2], [3]]}
    model = bert("BertForTokenClassification", num_labels=4)
    data = {"text": "words", "labels": "tags"}
    task = task_of(tmp_path, model, "AutoModelForTokenClassification", data, rows)
    samples, logits = answer(task, model)
    assert samples.labels.tolist() == [[-100, 1, 2, -100], [-100, 3, -100, -100]]
    assert task.score(logits, samples.labels).shape == (2,)


def test_a_decoder_without_a_pad_token_reads_texts(tmp_path):
    config = transformers.LlamaConfig(**SMALL, num_key_value_heads=2)
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    rows = {"text": TEXTS[:3]}
    task = task_of(
        tmp_path, model, "AutoModelForCausalLM", {"text": "text"}, rows,
        tokenizer={"pad": False, "special": False},
    )  # fmt: skip
    samples, logits = answer(task, model)
    assert task.kind.name == "next_token"
    assert samples.inputs["attention_mask"].sum(dim=1).tolist() == [2, 1, 4]
    assert (samples.labels != -100).sum(dim=1).tolist() == [1, 0, 3]
    assert logits.shape == (3, 4, 40)


def test_a_classifier_on_a_decoder_runs_batches_without_a_pad_token(tmp_path):
    config = transformers.LlamaConfig(**SMALL, num_key_value_heads=2, num_labels=2)
    torch.manual_seed(0)
    model = transformers.LlamaForSequenceClassification(config).eval()
    rows = {"text": TEXTS[:3], "label": [0, 1, 1]}
    data = {"text": "text", "labels": "label"}
    task = task_of(
        tmp_path, model, "AutoModelForSequenceClassification", data, rows,
        tokenizer={"pad": False, "special": False},
    )  # fmt: skip
    assert answer(task, model)[1].shape == (3, 2)


def test_source_and_target_texts_of_an_encoder_with_a_decoder(tmp_path):
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=40,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).eval()
    rows = {"source": TEXTS[:3], "target": ["w1", "w2 w3", "w4"]}
    data = {"text": "source", "labels": "target"}
    task = task_of(tmp_path, model, "AutoModelForSeq2SeqLM", data, rows)
    samples, logits = answer(task, model)
    assert task.kind.name == "seq2seq"
    assert samples.labels.tolist() == [[2, 6, 3, -100], [2, 7, 8, 3], [2, 9, 3, -100]]
    assert samples.inputs["decoder_input_ids"].tolist() == [
        [0, 2, 6, 3],
        [0, 2, 7, 8],
        [0, 2, 9, 3],
    ]
    assert logits.shape == (3, 4, 40)


def test_multiple_choice_reads_every_row_with_each_choice(tmp_path):
    model = bert("BertForMultipleChoice")
    rows = {"q": TEXTS[:3], "options": [["w1", "w2"]] * 3, "label": [0, 1, 0]}
    data = {"text": "q", "choices": "options", "labels": "label"}
    task = task_of(tmp_path, model, "AutoModelForMultipleChoice", data, rows)
    samples, logits = answer(task, model)
    assert samples.inputs["input_ids"].shape[:2] == (3, 2)
    assert logits.shape == (3, 2)


def test_a_model_without_a_head_answers_with_pooled_features(tmp_path):
    model = bert("BertModel")
    task = task_of(tmp_path, model, "AutoModel", {"text": "text"}, {"text": TEXTS})
    samples, features = answer(task, model)
    assert task.outputs == "features"
    hidden = model(**samples.inputs).last_hidden_state
    mask = samples.inputs["attention_mask"].unsqueeze(-1)
    want = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    torch.testing.assert_close(features, want)


def test_a_chat_becomes_the_text_of_its_template(tmp_path):
    config = transformers.LlamaConfig(**SMALL, num_key_value_heads=2)
    model = transformers.LlamaForCausalLM(config).eval()
    chats = [[{"role": "user", "content": "w1 w2"}, {"role": "assistant", "content": "w3"}]]
    task = task_of(tmp_path, model, "AutoModelForCausalLM", {"text": "chat"}, {"chat": chats},
                   tokenizer={"special": False})  # fmt: skip
    path = tmp_path / "base/tokenizer_config.json"
    content = json.loads(path.read_text()) | {
        "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    }
    path.write_text(json.dumps(content))
    (tmp_path / "base/chat_template.jinja").write_text(content["chat_template"])
    assert task.samples(None, 0).inputs["input_ids"].tolist() == [[6, 7, 8]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"text": [1, 2], "label": [0, 1]}, "does not hold text but 1"),
        ({"text": TEXTS[:2], "label": [0.5, 1.5]}, "labels are float32 of shape"),
        ({"text": TEXTS[:2], "label": [[0, 1], [1, 0]]}, r"give integers with 1 dimension"),
    ],
)
def test_wrong_columns_are_named(rows, message, tmp_path):
    data = {"text": "text", "labels": "label"}
    task = task_of(tmp_path, bert(), "AutoModelForSequenceClassification", data, rows)
    with pytest.raises(UsageError, match=message):
        task.samples(None, 0)


def test_what_the_file_says_goes_before_what_the_class_says(tmp_path):
    assert kind_of("AutoModel", tmp_path, None).name == "embedding"
    assert kind_of("AutoModel", tmp_path, "classification").name == "classification"
    assert kind_of(None, None, None).name == "classification"


def test_a_decoder_s_inputs_are_its_labels_one_later():
    labels = torch.tensor([[5, 6, -100], [7, -100, -100]])
    assert shifted_right(labels, 0, 1).tolist() == [[0, 5, 6], [0, 7, 1]]
