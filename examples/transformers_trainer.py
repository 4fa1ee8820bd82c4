"""The rate for a transformers Trainer: a small GPT-2 with random weights learns to count."""

import torch
import transformers
from torch.utils.data import Dataset

from stepsize.adapters.transformers import find_lr


class Counting(Dataset):
    """Rows of numbers that count upwards from anywhere, modulo 20, one in ten of them wrong."""

    def __init__(self, size: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        rows = (torch.randint(0, 20, (size, 1), generator=draw) + torch.arange(16)) % 20
        wrong = torch.rand(rows.shape, generator=draw) < 0.1
        self.rows = torch.where(wrong, torch.randint(0, 20, rows.shape, generator=draw), rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        return {"input_ids": self.rows[i], "labels": self.rows[i]}


if __name__ == "__main__":
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    arguments = transformers.TrainingArguments(
        "transformers_trainer",
        num_train_epochs=3,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        lr_scheduler_type="cosine",
        warmup_steps=10,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )
    trainer = transformers.Trainer(
        model=transformers.GPT2LMHeadModel(config),
        args=arguments,
        train_dataset=Counting(640, seed=1),
        eval_dataset=Counting(160, seed=2),
    )
    advice = find_lr(trainer)
    print(advice)
    trainer.args.learning_rate = advice.lr
    trainer.train()
    print(f"held-out loss {trainer.evaluate()['eval_loss']:.3f}")
