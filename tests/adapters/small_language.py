"""A tiny language model of transformers and its data: random weights, a vocabulary of its own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler

RHYME = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def tokenizer() -> Any:
    """Words of the rhyme, one number each."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", *RHYME])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    kind: Any = transformers.PreTrainedTokenizerFast
    return kind(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


class Counting(Dataset[Any]):
    """Sentences that count upwards, of differing length; one word in ten is another."""

    def __init__(self, size: int, seed: int) -> None:
        draw, words = random.Random(seed), tokenizer()
        self.rows = []
        for _ in range(size):
            start, length = draw.randrange(12), draw.randrange(5, 12)
            text = [RHYME[(start + i) % 12] for i in range(length)]
            text = [word if draw.random() > 0.1 else draw.choice(RHYME) for word in text]
            self.rows.append(words(" ".join(text)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]


def model(seed: int = 0) -> Any:
    """GPT-2 with two layers, 32 wide, its dropout on."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=len(RHYME) + 2,
        n_positions=16,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=1,
        eos_token_id=1,
    )
    return transformers.GPT2LMHeadModel(config)


class InOrder(transformers.Trainer):
    """Reads its training data in their order."""

    def _get_train_sampler(self, *_: Any) -> Any:
        data: Any = self.train_dataset
        return SequentialSampler(data)


def arguments(folder: Path, **changes: Any) -> Any:
    """Batches of 8, two of them an update; 5 batches an epoch, so the last update has one."""
    given = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 16,
        "gradient_accumulation_steps": 2,
        "learning_rate": 2e-3,
        "weight_decay": 0.1,
        "label_smoothing_factor": 0.1,
        "max_grad_norm": 0.5,
        "warmup_steps": 2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return transformers.TrainingArguments(str(folder), **{**given, **changes})


def make_trainer(
    folder: Path,
    *,
    kind: type = transformers.Trainer,
    callbacks: Any = None,
    given: Any = None,
    **changes: Any,
) -> Any:
    """A Trainer on 40 sentences, 32 held out; `given` are further arguments of its own."""
    words = tokenizer()
    own = {"model": model(), "eval_dataset": Counting(32, 2), **(given or {})}
    return kind(
        args=arguments(folder, **changes),
        train_dataset=Counting(40, 1),
        data_collator=transformers.DataCollatorForLanguageModeling(words, mlm=False),
        processing_class=words,
        callbacks=callbacks,
        **own,
    )
