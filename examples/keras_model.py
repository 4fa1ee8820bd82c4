"""The rate for a Keras model, and `fit` with a callback that trains as advised."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before keras is first imported

import keras

import stepsize as ss
from stepsize.adapters.keras import AdvisedRate, find_lr

(x, y), (xv, yv) = ss.datasets.mnist().train, ss.datasets.mnist().test
x, y, xv, yv = x[:10_000], y[:10_000], xv[:2000], yv[:2000]

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])

advice = find_lr(
    model, x, y, batch_size=100, epochs=5, validation_data=(xv, yv), schedule="cosine", name="mnist"
)
print(advice)
model.fit(
    x,
    y,
    batch_size=100,
    epochs=5,
    validation_data=(xv, yv),
    callbacks=[AdvisedRate(advice)],
    verbose=2,
)
