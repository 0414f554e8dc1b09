"""Hub names without a network: a cache in the Hub's layout, and the exceptions that huggingface_hub raises."""

from __future__ import annotations

import shutil

import pytest
import torch
from httpx2 import ConnectError, Request, Response
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import are_progress_bars_disabled

from glimpse_core.errors import GlimpseError
from glimpse_core.models import catalog, checkpoint, devices, entries
from glimpse_core.storage import hub
from tests.support import tiny, tiny_llava

COMMIT, OLDER = "a" * 40, "b" * 40


def put(cache, name, source, commit=COMMIT, branch="main"):
    """A repository in the layout of the Hub's cache."""
    home = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(source, home / "snapshots" / commit)
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / branch).write_text(commit)
    return home / "snapshots" / commit


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def glimpse(tmp_path):
    model = tiny.model()
    checkpoint.save(tmp_path / "modules", model.config, model.glimpse, model.vip)
    return tmp_path / "modules"


def test_a_cached_model_loads_offline(cache, glimpse):
    put(cache, "tiny/base", tiny.base_folder())
    put(cache, "tiny/glimpse", glimpse)
    model = catalog.load("tiny/base", glimpse="tiny/glimpse", device="cpu")
    assert model.name == "tiny/base"
    assert model.processor is not None
    assert model.config == tiny.CONFIG


def test_a_revision_is_a_branch_or_a_commit(cache):
    put(cache, "tiny/base", tiny.base_folder())
    other = put(cache, "tiny/base", tiny_llava.base_folder(), OLDER, "older")
    for revision in ("older", OLDER):
        assert hub.fetch(f"tiny/base@{revision}", "base model") == other
        assert catalog.load(f"tiny/base@{revision}", device="cpu").backbone.model_types[0] == "llava"
    assert catalog.load("tiny/base", device="cpu").backbone.model_types[0] == "qwen2_5_vl"
    with pytest.raises(GlimpseError, match="tiny/base@newer cannot be fetched"):
        catalog.load("tiny/base@newer", device="cpu")


def test_the_published_name_of_llava_means_its_conversion(cache):
    conversion = put(cache, "llava-hf/llava-1.5-7b-hf", tiny_llava.base_folder())
    for name in ("llava-1.5-7b", "liuhaotian/llava-v1.5-7b", "llava-hf/llava-1.5-7b-hf"):
        base, glimpse = catalog.resolve(name, None)
        assert catalog.fetch_base(base) == conversion
        assert glimpse == "ashun989/GlimpsePrune_LLaVA-1.5-7B"
    base, _ = catalog.resolve("llava-hf/llava-1.5-7b-hf@main", None)
    assert base == "llava-hf/llava-1.5-7b-hf@main"


def test_both_spellings_of_the_published_modules(cache, glimpse):
    found = put(cache, "ashun989/GlimpsePrune-LLaVA-1.5-13B", glimpse)
    assert catalog.fetch_glimpse("ashun989/GlimpsePrune_LLaVA-1.5-13B") == found


def test_a_cache_without_weights_is_no_copy(cache, glimpse):
    """An entry is on this machine when everything is; a lone config.json, as a look at the Hub leaves it, is not."""
    folder = put(cache, "tiny/base", tiny.base_folder())
    entry = entries.Entry("x", "X", "tiny/base", str(glimpse), None, "")
    assert entry.is_local
    assert entry.is_download
    (folder / "model.safetensors").unlink()
    assert not entry.is_local


@pytest.mark.parametrize("gone", ["tokenizer.json", "preprocessor_config.json", "model-00002-of-*.safetensors"])
def test_a_cache_with_gaps_is_filled(cache, gone, monkeypatch):
    """As another program, or an interrupted download of an older huggingface_hub, leaves it: no list of the files."""
    folder = put(cache, "tiny/base", tiny.base_folder())
    (folder / "model.safetensors").unlink()
    tiny.model().backbone.hf.save_pretrained(folder, max_shard_size="100KB")
    (gone,) = (path.name for path in folder.glob(gone))
    assert catalog.load("tiny/base", device="cpu").processor is not None
    content = (folder / gone).read_bytes()
    (folder / gone).unlink()
    stock = hub.snapshot_download

    def download(name, local_files_only=False, **options):
        if not local_files_only:  # the network is back
            (folder / gone).write_bytes(content)
        return stock(name, local_files_only=True, **{key: options[key] for key in ("revision", "allow_patterns")})

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert catalog.load("tiny/base", device="cpu").processor is not None
    assert (folder / gone).exists()


def test_the_tower_of_an_original_folder_comes_from_the_cache(cache, tmp_path):
    """Its own repository holds pytorch_model.bin and no safetensors."""
    folder = shutil.copytree(tiny_llava.original_folder(), tmp_path / "base")
    weights = tiny_llava.tower_weights(folder)
    shutil.move(folder / "clip-tower", tmp_path / "source")
    (tmp_path / "source" / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "source" / "pytorch_model.bin")
    with pytest.raises(GlimpseError, match="The vision tower somebody/clip-tower cannot be fetched"):
        catalog.load(folder, device="cpu")
    put(cache, "somebody/clip-tower", tmp_path / "source")
    tower = catalog.load(folder, device="cpu").backbone.hf.model.vision_tower.state_dict()
    wanted = tiny_llava.model().backbone.hf.model.vision_tower.state_dict()
    assert all(torch.equal(tower[name], wanted[name]) for name in wanted)


def test_offline_and_not_in_the_cache(cache, monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**12)  # else a small machine has another remedy
    for name in ("tiny/base", "qwen2.5-vl-3b"):
        with pytest.raises(
            GlimpseError,
            match="not in the cache, and offline mode is on. Expected a copy or a connection: unset HF_HUB_OFFLINE",
        ):
            catalog.load(name, device="cpu")


def answered(kind, status):
    return kind(
        "no", response=Response(status, request=Request("GET", "https://huggingface.co/api/models/owner/model"))
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            answered(GatedRepoError, 403),
            "gated. Expected access to it: accept its terms on https://huggingface.co/owner/model, then log in",
        ),
        (
            answered(RepositoryNotFoundError, 404),
            "no such repository, or it is private. Expected one that you can read: check the spelling",
        ),
        (answered(RevisionNotFoundError, 404), "no revision 'v2'. Expected a branch, tag or commit: choose from https"),
        (answered(HfHubHTTPError, 500), "the Hub answered .* Expected the files: try again later"),
        (
            IncompleteSnapshotError("no", "/x"),
            "interrupted, and the Hub cannot be reached now. Expected a connection: connect",
        ),
        (
            LocalEntryNotFoundError("no"),
            "the Hub cannot be reached. Expected a copy or a connection: check the connection",
        ),
        (HFValidationError("no"), "not a Hub name. Expected owner/model"),
        (ConnectError("no route"), r"the connection failed \(no route\). Expected one: check it, and HTTPS_PROXY"),
        (OSError(28, "No space left on device"), "the disk of .* is full. Expected room: delete files, or set HF_HOME"),
        (PermissionError(13, "Permission denied"), "Permission denied.* to be writable: change that, or set HF_HOME"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
@pytest.mark.parametrize("fetch", [catalog.fetch_base, catalog.fetch_glimpse])
def test_every_failure_has_its_remedy(fetch, error, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # whatever the environment says

    def download(name, local_files_only=False, **options):
        assert name == "owner/model"
        raise LocalEntryNotFoundError("not cached") if local_files_only else error

    monkeypatch.setattr(hub, "snapshot_download", download)
    with pytest.raises(GlimpseError, match=f"owner/model@v2 cannot be fetched from the Hub: .*{said}"):
        fetch("owner/model@v2")


def test_bars_are_shown_during_a_download_only(monkeypatch):
    """`ask` hides the bars of loading; a download must not be silent for that."""
    seen = []

    def download(name, local_files_only=False, **options):
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        seen.append((are_progress_bars_disabled(), options["tqdm_class"], options["revision"]))
        return "."

    monkeypatch.setattr(hub, "snapshot_download", download)
    hub.disable_progress_bars()
    try:
        hub.fetch("owner/model@v2", "base model")
        assert are_progress_bars_disabled()
    finally:
        hub.enable_progress_bars()
    assert seen == [(False, None, "v2")]


def test_a_download_tells_how_far_it_is(monkeypatch, capsys):
    """As huggingface_hub 2 drives a bar class: the total grows while files are found."""
    told = []

    def download(name, local_files_only=False, tqdm_class=None, **options):
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        files = tqdm_class(total=2, desc="Fetching 2 files")
        received = tqdm_class(total=0, initial=0, unit="B", unit_scale=True)
        received.total = 4_000_000_000
        for _ in range(400):
            received.update(10_000_000)
        files.update(1)
        return "."

    monkeypatch.setattr(hub, "snapshot_download", download)
    hub.fetch("owner/model", "base model", progress=told.append)
    assert told[0] == "downloading owner/model: 0% of 4.0 GB"
    assert told[-1] == "downloading owner/model: 100% of 4.0 GB"
    assert len(told) == 101
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "local"),
    [
        ("owner/model", False),
        ("owner/model@main", False),
        ("owner/model@refs/pr/1", False),
        ("./owner/model", True),
        ("~/model", True),
        ("/models/model", True),
        ("model", True),
        ("a/b/c", True),
    ],
)
def test_what_looks_like_a_hub_name(place, local):
    assert hub.is_local(place) is local
