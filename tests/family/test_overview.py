"""A family says on one screen what it holds and what was left out, with the reason."""

from __future__ import annotations

import numpy as np

from mergecast.checkpoints.writer import write_safetensors
from mergecast.family import Family
from tiny_family import arrays


def test_base_models_and_parameters_are_counted_and_what_is_left_out_has_its_reason(family_paths):
    base, models = family_paths
    broken = base.with_name("broken.safetensors")
    broken.write_bytes(b"")
    family = Family.open(base, [*models, broken], on_error="refuse")
    elements = sum(family.base.info(name).size for name in family.shared)
    assert repr(family).splitlines() == [
        "Family of 3 models",
        f"  base     {base}",
        "  models   3",
        "           a",
        "           b",
        "           c",
        f"  shared   5 parameters, {elements:,} elements",
        "  private  1",
        "           head.weight: not in the base; in all models",
        "  buffer   1",
        "           position_ids: int64 values, kept from the base",
        *_refusal(family),
    ]


def test_a_family_of_many_models_and_heads_stays_on_one_screen(tmp_path):
    base = tmp_path / "base.safetensors"
    write_safetensors(base, arrays(0))
    models = []
    for number in range(30):
        models.append(tmp_path / f"model_{number}.safetensors")
        heads = {f"heads.{number}.{i}": np.ones(2, dtype=np.float32) for i in range(3)}
        write_safetensors(models[-1], arrays(number + 1) | heads)
    text = repr(Family.open(base, models))
    assert len(text.splitlines()) < 40
    assert "… 22 more" in text
    assert "… 82 more" in text


def test_a_notebook_shows_the_same_with_names_escaped(tmp_path, family_paths):
    base, models = family_paths
    odd = tmp_path / "a<b>.safetensors"
    odd.write_bytes(models[0].read_bytes())
    family = Family.open(base, [odd, models[1]])
    page = family._repr_html_()
    assert "Family of 2 models" in page
    assert "a&lt;b&gt;<br>b" in page
    assert "head.weight: not in the base; in all models" in page


def _refusal(family: Family) -> list[str]:
    """The lines of the one refused model, which its path makes longer or shorter."""
    lines = repr(family).splitlines()
    after = lines.index("  refused  1")
    said = " ".join(line.strip() for line in lines[after + 1 :])
    assert said.startswith("broken: ")
    assert said.endswith("is empty (0 bytes); copy or download it again")
    return lines[after:]
