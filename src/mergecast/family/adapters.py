"""What the configs of LoRA adapters say of each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mergecast.checkpoints.lora_files import ADAPTER_CONFIG
from mergecast.checkpoints.side_files import read_json
from mergecast.family.family import Family
from mergecast.family.findings import Finding


def adapter_findings(family: Family) -> Iterator[Finding]:
    """A warning for each adapter that was trained on another base than most of them.

    The base's own folder may be called anything; what several adapters name tells more. Names are
    compared by their last part, since one may have fetched what another read from a folder.

    Parameters
    ----------
    family : Family
        Base and models, opened and aligned.
    """
    by_base: dict[str, list[str]] = defaultdict(list)
    said: dict[str, str] = {}
    for label, model in family.models.items():
        config = read_json(model.path / ADAPTER_CONFIG) if model.path.is_dir() else {}
        recorded = str(config.get("base_model_name_or_path") or "")
        if last := recorded.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold():
            by_base[last].append(label)
            said[label] = recorded
    most = max(map(len, by_base.values()), default=0)
    leading = [named for named, labels in by_base.items() if len(labels) == most]
    for named, labels in sorted(by_base.items()):
        if leading == [named]:
            continue
        others = {said[x] for last, group in by_base.items() if last != named for x in group}
        for label in labels:
            yield Finding(
                "warning",
                "adapter base",
                label,
                f"says that it was trained on {said[label]!r}, other adapters on "
                f"{', '.join(map(repr, sorted(others)))}: on another base an adapter means nothing",
                "leave out those that were trained on another base than the one given",
            )
