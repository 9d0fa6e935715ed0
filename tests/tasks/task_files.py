"""A file of tasks for tests to change."""

GOOD = """\
defaults:
  model: {build: "probe_families:build_cnn"}
tasks:
  a:
    data:
      file: t.npz
      inputs: [input]
      labels: label
"""


def write(folder, text):
    path = folder / "tasks.yaml"
    path.write_text(text, encoding="utf-8")
    return path
