"""A search of three models, as `SearchResult.to_dict` gives it."""


def step(look, measured, value):
    return {
        "look": look,
        "passes": 100.0 * look,
        "seconds": 1.0 * look,
        "members": "a+b",
        "recipe": "ties",
        "samples": 50,
        "measured": measured,
        "best": "a+b by ties",
        "value": value,
        "certainty": 0.5,
    }


def found_search():
    return {
        "advice": "merge",
        "verdict": ["Merge a, b by ties: it keeps 0.95."],
        "members": ["a", "b"],
        "recipe": {"method": "ties", "params": {"scaling": 0.3}, "weights": {}, "seed": 0},
        "objective": {"kind": "mean", "importance": {}, "required": {}},
        "threshold": 0.9,
        "below": [],
        "lost": {},
        "verified": {"value": 0.95, "lower": 0.93, "upper": 0.97, "level": 0.9, "samples": 200},
        "judged": "Kept: on 200 samples or more of each task; intervals are of 90%.",
        "kept": [
            {
                "model": "a",
                "forecast": 0.94,
                "seen": 0.97,
                "kept": 0.96,
                "lower": 0.94,
                "upper": 0.98,
            },
            {
                "model": "b",
                "forecast": 0.93,
                "seen": 0.95,
                "kept": 0.94,
                "lower": 0.92,
                "upper": 0.96,
            },
        ],
        "believed": 0.951,
        "certainty": 0.87,
        "epsilon": 0.005,
        "ended": "the best is known",
        "cost": {
            "evidence_seconds": 3.0,
            "search_seconds": 4.0,
            "verification_seconds": 1.0,
            "measurements": 2.0,
            "samples": 200.0,
        },
        "samples": {
            x: {"looked": 100, "held": 200, "held_from": "test", "labelled": True} for x in "ab"
        },
        "tried": [
            {
                "members": "a+b",
                "recipe": "ties",
                "forecast": 0.94,
                "measured": 0.95,
                "stderr": 0.01,
                "believed": 0.951,
                "samples": 50,
                "kept": {"a": 0.96, "b": 0.94},
            }
        ],
        "untried": [
            {
                "members": "a+c",
                "recipe": "dare",
                "forecast": 0.9,
                "believed": 0.9,
                "sd": 0.03,
                "why": "thought to be worth 0.900 <b>",
            }
        ],
        "path": [step(1, 0.8, 0.93), step(2, 0.95, 0.951)],
        "left_out": ["d: it cannot be read"],
        "warnings": ["few samples"],
        "base": "base/",
        "models": {"a": "a/", "b": "b/", "c": "c/"},
        "out": "merged",
        "mergekit": "mergekit.yml",
    }


def found_by_a_scorer(by="./eval.sh {model} {task}"):
    """The same, verified by a scorer."""
    found = found_search()
    return found | {
        "verified": {"value": 0.95, "scorer": by},
        "judged": "Kept: both by the verification scorer, so that there is no interval.",
        "kept": [
            {
                "model": x,
                "forecast": 0.94,
                "seen": 0.97,
                "kept": 0.96,
                "own_score": 31.25,
                "merged_score": 30.0,
            }
            for x in "ab"
        ],
        "samples": {},
    }
