"""A file of mergekit, as tests write it."""

import yaml


def write(folder, content):
    path = folder / "merge.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def file_of(method="ties", base="base.safetensors", **more):
    models = [{"model": f"{x}.safetensors", "parameters": {"weight": w}} for x, w in _WEIGHTS]
    content = {"merge_method": method, "base_model": base, "models": models, **more}
    return {key: value for key, value in content.items() if value is not None}


_WEIGHTS = (("a", 1.0), ("b", 2.0))
