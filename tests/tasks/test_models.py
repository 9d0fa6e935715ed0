"""Building models, and what is said of those that do not build."""

from __future__ import annotations

import json

import pytest

from mergecast.errors import UsageError
from mergecast.tasks import models


def test_models_that_do_not_build_are_named(tmp_path):
    with pytest.raises(UsageError, match="transformers class 'AutoModelForCls': unknown"):
        models.from_config(tmp_path, "AutoModelForCls")
    with pytest.raises(UsageError, match="holds no config.json"):
        models.from_config(tmp_path, "AutoModel")
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(UsageError, match="does not build as AutoModel: "):
        models.from_config(tmp_path, "AutoModel")
    for reference, message in {
        "probe_families": "is not module:function",
        "no_such_module:f": "cannot be imported",
        "probe_families:build_cn": "function of probe_families 'build_cn': unknown; did you mean",
        "probe_families:build_cnn": "failed: TypeError",
        "probe_families:seeded": "returned str, not|returned str",
    }.items():
        arguments = {"build": str} if reference.endswith("seeded") else {"x": 1}
        with pytest.raises(UsageError, match=message):
            models.build_by_function(reference, arguments)


def test_code_in_a_checkpoint_folder_is_never_run(tmp_path):
    (tmp_path / "modeling_evil.py").write_text("raise SystemExit('ran')\n")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="code in a checkpoint folder is never run"):
        models.from_config(tmp_path, "AutoModel")
