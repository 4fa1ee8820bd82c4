"""The rate for a JAX loss and an optax optimizer, and the training with it."""

import jax
import numpy as np
import optax

import stepsize as ss
from stepsize.adapters.jax import find_lr

STEPS = 600

(x, y), (xv, yv) = ss.datasets.mnist().train, ss.datasets.mnist().test
x, xv = (part.reshape(len(part), -1).astype("float32") for part in (x, xv))
random = np.random.default_rng(0)
params = {
    "in": random.standard_normal((784, 64), dtype="float32") / 28,
    "out": random.standard_normal((64, 10), dtype="float32") / 8,
}


def loss(params, batch):
    inputs, labels = batch
    logits = jax.nn.relu(inputs @ params["in"]) @ params["out"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def batches(seed):
    order = np.random.default_rng(seed).permutation(len(x))
    return ((x[part], y[part]) for part in np.split(order, 500))


held_out = [(xv[part], yv[part]) for part in np.split(np.arange(2000), 4)]
advice = find_lr(
    loss, params, batches, optimizer=optax.adam, steps=STEPS, val=held_out, schedule="cosine", name="mnist"
)
print(advice)

optimizer = optax.adam(advice.schedule.to("optax"))
state = optimizer.init(params)
grad = jax.jit(jax.grad(loss))
for _, batch in zip(range(STEPS), batches(0), strict=False):
    updates, state = optimizer.update(grad(params, batch), state)
    params = optax.apply_updates(params, updates)
print(f"held-out loss {np.mean([float(loss(params, batch)) for batch in held_out]):.4f}")
