"""The benchmark workload as Keras users write it: model.fit."""
import os
import time

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="2", CUDA_VISIBLE_DEVICES="")
import keras
import tensorflow

from common import mnist, options, report

options = options()
keras.utils.set_random_seed(0)
x, y = mnist()
y = keras.utils.to_categorical(y, 10)
layers = [keras.Input((784,)), keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10, activation="softmax")]
model = keras.Sequential(layers)
model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
fit = lambda epochs: model.fit(x, y, batch_size=options.batch, epochs=epochs, verbose=0)
fit(1)
started = time.perf_counter()
history = fit(options.epochs)
seconds = time.perf_counter() - started
name = f"Keras {keras.__version__} fit, TensorFlow {tensorflow.__version__}"
report(name, seconds, options.epochs * len(x), history.history["loss"][-1])
