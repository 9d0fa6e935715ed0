"""Every common architecture, as a hub has its base and as it is saved: checked, merged, loaded.

The merge is held against an average that shares no code with ours: of the models as transformers
(or PEFT) loads them. A forecast reads a full model and an adapter on the base as a hub has it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from zoo import ARCHITECTURES, Architecture, build

import mergecast as mc
from mergecast.checkpoints.torch_bridge import read_state
from mergecast.errors import CheckpointError
from mergecast.tasks.draft import draft_task
from mergecast.tasks.load import load_tasks
from mergecast.tasks.probe import Probe

transformers = pytest.importorskip("transformers", reason="needs the hf extra")
peft = pytest.importorskip("peft", reason="needs the hf extra")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves
logging.getLogger("transformers").setLevel(logging.ERROR)

BASES = ("bare", "saved")


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def built(request, tmp_path_factory) -> tuple[Architecture, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return build(request.param, folder), folder


def members(entry: Architecture, folder: Path, kind: str) -> list[Path]:
    if kind == "lora" and not entry.targets:
        pytest.skip("a convolution network without layers that LoRA adapts by default")
    return [folder / name for name in (("m1", "m2") if kind == "full" else ("l1", "l2"))]


def state_of(entry: Architecture, folder: Path, model: Path) -> dict[str, torch.Tensor]:
    """A member's tensors as the libraries load them, by the names of the tuned class."""
    tuned = getattr(transformers, entry.tuned)
    number = int(model.name[1])
    heads = {"num_labels": 2 + number} if entry.labelled else {}
    if model.name.startswith("m"):
        return dict(tuned.from_pretrained(model).state_dict())
    base = tuned.from_pretrained(folder / "bare", **heads)
    return dict(peft.PeftModel.from_pretrained(base, model).merge_and_unload().state_dict())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_base_and_its_fine_tunes_pass_by_default(built, base, kind):
    entry, folder = built
    models = members(entry, folder, kind)
    preflight = mc.check(folder / base, models)
    assert preflight.refused == []
    assert preflight.usable == [model.name for model in models]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_merge_loads_again_and_equals_an_independent_average(built, base, kind, tmp_path):
    entry, folder = built
    models = members(entry, folder, kind)
    family = mc.Family.open(folder / base, models)
    mc.write_merge(family, "weight_avg", tmp_path / "out")
    loaded_class = getattr(transformers, entry.bare if base == "bare" else entry.tuned)
    merged = dict(loaded_class.from_pretrained(tmp_path / "out").state_dict())
    original = dict(loaded_class.from_pretrained(folder / base).state_dict())
    states = [state_of(entry, folder, model) for model in models]
    compared: set[int] = set()  # by storage: a tied tensor has two names
    for name, value in merged.items():
        parts = [found for state in states if (found := under(state, name)) is not None]
        if len(parts) < 2 or any(part.shape != value.shape for part in parts):
            continue  # a head of the base's or of one model's own
        if not value.is_floating_point() or torch.equal(value, original[name]):
            continue
        want = sum(part.double() for part in parts) / len(parts)
        torch.testing.assert_close(value.double(), want, atol=1e-6, rtol=1e-5, msg=name)
        compared.add(value.data_ptr())
    changed = {v.data_ptr() for n, v in merged.items() if not torch.equal(v, original[n])}
    assert compared == changed
    assert len(compared) >= (10 if kind == "full" else 2)


@pytest.mark.parametrize(("base", "kind"), [("saved", "full"), ("bare", "lora")])
def test_a_drafted_task_takes_the_weights_of_its_model(built, base, kind, tmp_path):
    entry, folder = built
    models = members(entry, folder, kind)
    path = mc.draft_tasks(folder / base, models, tmp_path / "tasks.yaml").path
    path.write_text(path.read_text("utf-8").replace("TODO", "filled"), "utf-8")
    tasks = load_tasks(path)
    private = sorted({pattern for task in tasks.values() for pattern in task.private})
    family = mc.Family.open(folder / base, models, private=private)
    for label, task in tasks.items():
        assert task.spec.model.build is None
        notes = draft_task(label, family.models[label], family.base).notes
        if notes:  # an adapter of a base without the pooler that its class has
            assert kind == "lora"
            assert "which neither it nor its base holds" in notes[0]
            continue
        Probe(task).load(read_state(family.models[label]))


def under(state: dict[str, torch.Tensor], name: str) -> torch.Tensor | None:
    """A tensor by its name, whatever prefix stands before it on either side."""
    if name in state:
        return state[name]
    ends = [key for key in state if key.endswith(f".{name}")]
    if ends:  # the outermost of that name: blocks inside may have one, too
        return state[min(ends, key=len)]
    short = name.partition(".")[2]
    return state.get(short)


AUTO = {
    "decoder": "AutoModelForCausalLM",
    "image": "AutoModelForImageClassification",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "text": "AutoModelForSequenceClassification",
}
#: Their tuned classes have a pooler that the hub's base lacks and no adapter saves.
WITHOUT_POOLER = ("albert", "beit", "deberta-v2")


def tasks_of(entry: Architecture, folder: Path, labels: list[str]) -> Path:
    """A file of tasks: random inputs of the kind that the architecture takes."""
    rng = np.random.default_rng(0)
    auto = AUTO[entry.kind]
    ids = rng.integers(5, 40, (4, 6))
    data: dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if entry.kind == "image":
        data = {"pixel_values": rng.standard_normal((4, 3, 16, 16), dtype=np.float32)}
    spec: dict[str, object] = {"file": "samples.npz", "inputs": list(data)}
    if entry.tuned.endswith("TokenClassification"):
        auto, data["labels"] = "AutoModelForTokenClassification", rng.integers(0, 3, ids.shape)
    elif entry.labelled:
        data["labels"] = rng.integers(0, 3, 4)
    elif entry.kind == "seq2seq":
        data["labels"] = rng.integers(5, 40, (4, 5))
    if "labels" in data:
        spec["labels"] = "labels"
    np.savez(folder / "samples.npz", **data)
    task = {
        "model": {"folder": "bare", "auto": auto},
        "private": ["*classifier*", "score*"] if entry.labelled else [],
        "data": spec,
    }
    file = folder / "tasks.yaml"
    file.write_text(yaml.safe_dump({"tasks": dict.fromkeys(labels, task)}))
    return file


def test_a_forecast_runs_a_model_and_an_adapter_on_the_hub_s_base(built, request):
    entry, folder = built
    models = [folder / "m1", folder / ("l2" if entry.targets else "m2")]
    tasks = tasks_of(entry, folder, [model.name for model in models])

    def forecast() -> mc.Forecast:
        return mc.forecast(
            folder / "bare", models, tasks=tasks, tier="activations", calibration=4,
            forecaster="suites", methods="weight_avg",
        )  # fmt: skip

    name = request.node.callspec.params["built"]
    if name in WITHOUT_POOLER:
        with pytest.raises(
            CheckpointError, match="model 'l2': .*checkpoint lacks, first '.*pooler"
        ):
            forecast()
    else:
        made = forecast()
        assert made.tier == "activations"
        assert set(made.rows["member"]) == {model.name for model in models}
        assert np.isfinite(made.rows["retention"]).all()
