import pandas as pd
import pytest
import torch
from image_cache import fill, forget

from mergecast.errors import ResourceError, UsageError
from mergecast.suites.image.suite import BACKBONES, Image, ImageRecipe
from mergecast.suites.run import run_suite
from mergecast.testing import check_suite

VIT = ImageRecipe.quick().model_copy(update={"backbone": "dinov2-small"})
SUITE = Image()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERGECAST_CACHE", str(folder))
        fill(folder)
        yield folder
    forget()


def test_the_laws_of_suites_hold_with_batchnorm():
    check_suite(Image.name)


def test_two_tasks_run_from_the_base_to_the_tables(tmp_path):
    recipe = VIT.model_copy(update={"steps": 6, "rate": 1e-3})
    only = ["digits", "mnist", "clip-art"]
    folder = run_suite(
        Image.name,
        tmp_path,
        only=only,
        methods=["weight_avg", "ties"],
        n_sets=1,
        tier="weights",
        recipe=recipe,
        workers=1,
    )
    tasks = pd.read_parquet(folder / "tasks.parquet").set_index("task")
    assert list(tasks.index) == sorted(only)
    assert (tasks["n_classes"] == 3).all()
    assert (tasks["single_score"] > tasks["majority"]).all()
    outcomes = pd.read_parquet(folder / "outcomes.parquet")
    assert len(outcomes) == 2 * (3 * 2 + 3)
    assert outcomes["retention"].notna().all()


def test_full_fine_tuning_leaves_the_transformers_embeddings():
    base = SUITE.base(VIT, 0)
    model = SUITE.fine_tune(VIT, 0, "mnist", base)
    moved = {name for name in base if not torch.equal(model[name], base[name])}
    assert moved == {name for name in base if ".embeddings." not in name}
    assert model["head.weight"].shape == (3, 16)


def test_adapters_are_of_the_transformer_only():
    recipe = VIT.model_copy(update={"regime": "lora", "rank": 2})
    base = SUITE.base(recipe, 0)
    model = SUITE.fine_tune(recipe, 0, "mnist", base)
    assert model.keys() == {*base, "head.weight", "head.bias"}
    moved = [name for name in base if not torch.equal(model[name], base[name])]
    assert moved
    assert all(base[name].ndim == 2 for name in moved)
    other = ImageRecipe.quick().model_copy(update={"regime": "lora"})
    with pytest.raises(UsageError, match="efficientnet-lite0.*has no linear layers"):
        SUITE.fine_tune(other, 0, "mnist", SUITE.base(other, 0))


def test_fine_tuning_moves_running_statistics():
    recipe = ImageRecipe.quick()
    base = SUITE.base(recipe, 0)
    model = SUITE.fine_tune(recipe, 0, "mnist", base)
    statistics = [name for name in base if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) == 2 * 49
    assert all(not torch.equal(model[name], base[name]) for name in statistics)


@pytest.mark.parametrize(("backbone", "side"), [("dinov2-small", 56), ("efficientnet-lite0", 64)])
def test_pictures_are_normalised_at_the_side_of_the_backbone(backbone, side):
    recipe = ImageRecipe.quick().model_copy(update={"backbone": backbone})
    samples = SUITE.task(recipe, "mnist").samples(None, 0, "calibration")
    pixels = samples.inputs["pixel_values"]
    assert (pixels.shape[1:], pixels.dtype) == ((3, side, side), torch.float32)
    # Tinted noise: from 0 to 120 of 255, and 100 more in the colour of the class.
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (torch.full((3,), (59.5 + 100 / 3) / 255) - mean) / deviation
    seen = torch.stack([pixels[samples.labels == c].mean(dim=(0, 2, 3)) for c in range(3)])
    assert torch.allclose(seen.mean(dim=0), wanted, atol=0.01)


def test_every_backbone_and_regime_has_a_rate_unless_it_cannot_be_trained_so():
    kinds = {(backbone, regime) for backbone in BACKBONES for regime in ("full", "lora", "easy")}
    assert kinds - Image.rates.keys() == {("efficientnet-lite0", "lora")}
    assert (ImageRecipe.quick().steps, ImageRecipe.quick().n_calibration) == (2, 16)


def test_another_backbone_is_refused_by_name():
    recipe = ImageRecipe(backbone="dinov2-large")
    with pytest.raises(UsageError, match="dinov2-large.*dinov2-small"):
        SUITE.encoder(recipe)


def test_what_was_not_fetched_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("MERGECAST_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match="bench fetch image-11"):
        SUITE.check(VIT)
