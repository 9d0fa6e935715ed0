"""A real `Trainer` on a tiny transformer: looks are logged, the training is what it was without."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import mergecast as mc
from mergecast.api.live_model import opened_live, unwrapped
from mergecast.errors import CheckpointError, UsageError
from mergecast.runtime import allowance as allowance_module
from mergecast.tasks.task import Task, take

pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")
transformers = pytest.importorskip("transformers")

WORDS, LENGTH = 40, 6
CONFIG = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 8,
    "num_labels": 2,
}


def built():
    return transformers.BertForSequenceClassification(transformers.BertConfig(**CONFIG))


@dataclass
class Words(Task):
    """Is there a word below a bound among six?"""

    @property
    def blueprint(self):
        return "bert"

    def build(self):
        return built()

    def samples(self, count, seed, split="calibration"):
        draw = torch.Generator().manual_seed(len(self.name) + 100 * (split == "test"))
        words = torch.randint(0, WORDS, (200, LENGTH), generator=draw)
        labels = (words < (6 if self.name == "low" else 3)).any(dim=1).long()
        return take(self.name, split, {"input_ids": words}, labels, count, seed)


TASKS = {x: Words(x, private=("classifier.*",)) for x in ("low", "finished")}


@pytest.fixture
def models(tmp_path):
    """The folders of a base and of a finished partner."""
    torch.manual_seed(0)
    base = built()
    base.save_pretrained(tmp_path / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for value in base.parameters():
            value.add_(0.01 * torch.randn(value.shape))
    base.save_pretrained(tmp_path / "finished")
    return tmp_path / "base", tmp_path / "finished"


class Rows(torch.utils.data.Dataset):
    def __init__(self):
        self.samples = TASKS["low"].samples(64, 0)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, row):
        return {"input_ids": self.samples.inputs["input_ids"][row],
                "labels": self.samples.labels[row]}  # fmt: skip


def trainer_of(model, folder, **options):
    settings = {"output_dir": str(folder), "max_steps": 12, "per_device_train_batch_size": 8,
                "logging_steps": 3, "save_strategy": "no", "report_to": [], "use_cpu": True,
                "disable_tqdm": True, "dataloader_pin_memory": False}  # fmt: skip
    arguments = transformers.TrainingArguments(**(settings | options))
    return transformers.Trainer(model=model, args=arguments, train_dataset=Rows())


def loaded(folder):
    return transformers.BertForSequenceClassification.from_pretrained(folder)


@pytest.fixture
def quick(monkeypatch):
    """Every call of the clock is a second later: looks take two calls, training many more."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(allowance_module, "perf_counter", lambda: float(next(seconds)))


def monitor_of(models, **options):
    base, finished = models
    given = {"tasks": TASKS, "every": 3, "calibration": 30, "overhead": 1e6}
    return mc.RetentionMonitor(base, {"finished": finished}, **(given | options))


def test_looks_stand_in_the_trainers_log_and_training_is_the_same(models, tmp_path, quick):
    plain = trainer_of(loaded(models[0]), tmp_path / "plain")
    plain.train()
    watched = trainer_of(loaded(models[0]), tmp_path / "watched")
    monitor = monitor_of(models)
    monitor.watch(watched)
    watched.train()
    for one, other in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(one, other)
    looks = [row for row in watched.state.log_history if "merge_retention/finished" in row]
    assert [row["step"] for row in looks] == [3, 6, 9, 12]
    assert {"partner_retention/finished", "merge_retention_overhead", "epoch"} <= set(looks[0])
    # What the trainer logs of the same steps is not lost by that.
    losses = [[row["step"] for row in one.state.log_history if "loss" in row]
              for one in (plain, watched)]  # fmt: skip
    assert losses[0] == losses[1] == [3, 6, 9, 12]
    kept = monitor.history.set_index(["step", "model"])["kept"]
    assert looks[-1]["merge_retention/finished"] == kept[12, "low"]


def test_the_last_look_is_that_of_the_saved_model(models, tmp_path, quick):
    trainer = trainer_of(loaded(models[0]), tmp_path / "run")
    monitor = monitor_of(models)
    monitor.watch(trainer)
    trainer.train()
    trainer.save_model(tmp_path / "low")
    saved = {"low": tmp_path / "low", "finished": models[1]}
    expected = mc.forecast_merge(
        models[0], saved, recipe="weight_avg", tasks=TASKS, calibration=30
    ).kept.set_index("model")["kept"]
    last = monitor.history[monitor.history["step"] == 12].set_index("model")["kept"]
    np.testing.assert_allclose(last[["finished", "low"]], expected[["finished", "low"]], rtol=1e-5)


def test_parts_may_be_frozen(models, tmp_path, quick):
    model = loaded(models[0])
    for value in model.bert.embeddings.parameters():
        value.requires_grad = False
    trainer = trainer_of(model, tmp_path / "run")
    monitor = monitor_of(models)
    monitor.watch(trainer)
    trainer.train()
    assert monitor.history["kept"].notna().all()


@pytest.mark.filterwarnings("ignore")  # PEFT's and transformers' about themselves
def test_an_adapter_in_training_is_merged_as_its_saved_folder_is(models, tmp_path, quick):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], task_type="SEQ_CLS")
    model = peft.get_peft_model(loaded(models[0]), config)
    trainer = trainer_of(model, tmp_path / "run", learning_rate=1e-2)
    monitor = monitor_of(models)
    monitor.watch(trainer)
    trainer.train()
    model.save_pretrained(tmp_path / "low", save_embedding_layers=False)
    saved = {"low": tmp_path / "low", "finished": models[1]}
    expected = mc.forecast_merge(
        models[0], saved, recipe="weight_avg", tasks=TASKS, calibration=30
    ).kept.set_index("model")["kept"]
    last = monitor.history[monitor.history["step"] == 12].set_index("model")["kept"]
    np.testing.assert_allclose(last[["finished", "low"]], expected[["finished", "low"]], rtol=1e-5)


@pytest.mark.filterwarnings("ignore")  # PEFT's and transformers' about themselves
def test_adapters_that_are_not_read_are_refused_by_name(models):
    peft = pytest.importorskip("peft")
    base = mc.Checkpoint.open(models[0])
    model = peft.get_peft_model(
        loaded(models[0]), peft.LoraConfig(target_modules=["query"], use_dora=True)
    )
    with pytest.raises(CheckpointError, match="DoRA"), opened_live(model, base):
        pass
    model = peft.get_peft_model(loaded(models[0]), peft.LoraConfig(target_modules=["query"]))
    model.add_adapter("second", peft.LoraConfig(target_modules=["query"]))
    several = pytest.raises(UsageError, match="holds the adapters default, second")
    with several, opened_live(model, base):
        pass
    model = loaded(models[0])
    model._hf_peft_config_loaded = True  # as transformers' add_adapter leaves it
    mixed = pytest.raises(UsageError, match="add_adapter put in; make it with peft.get_peft_model")
    with mixed, opened_live(model, base):
        pass


def test_weights_that_are_not_whole_are_refused_by_name(models, tmp_path):
    trainer = trainer_of(loaded(models[0]), tmp_path / "run")
    trainer.is_fsdp_enabled = True
    with pytest.raises(UsageError, match=r"spreads the model over processes \(fsdp\)"):
        monitor_of(models).watch(trainer)
    with torch.device("meta"):
        model = built()
    apart = pytest.raises(UsageError, match="is not whole in this process")
    with apart, opened_live(model, mc.Checkpoint.open(models[0])):
        pass


def test_wrappers_are_seen_through():
    inner = torch.nn.Linear(2, 2)
    outer = torch.nn.DataParallel(torch.compile(inner, backend="eager"))
    assert unwrapped(outer) is inner


def test_other_processes_than_the_main_one_do_nothing(models, tmp_path):
    trainer = trainer_of(loaded(models[0]), tmp_path / "run")
    monitor = monitor_of(models)
    monitor.watch(trainer)
    trainer.state.is_world_process_zero = False
    handler = trainer.callback_handler
    for event in (handler.on_train_begin, handler.on_step_end, handler.on_train_end):
        event(trainer.args, trainer.state, trainer.control)
    assert monitor.history.empty


def test_neither_the_package_nor_a_monitor_imports_transformers():
    program = (
        "import sys, mergecast as mc; mc.RetentionMonitor; "
        "assert 'transformers' not in sys.modules; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
