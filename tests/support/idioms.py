"""Lines of Keras as people write them: each is run with fastnn, and where Keras is there with Keras itself.

From public scripts and notebooks, and leaning to what might be missing. Each line, which may hold several statements,
runs in a namespace of its own, made by `namespace`: `keras` is the library, `np` NumPy, X and Y rows and targets of
numbers, C classes, `net()` a compiled model of two layers, `fitted()` one after an epoch.
"""

from __future__ import annotations

import importlib

from typing import Any

import numpy as np

IDIOMS: dict[str, list[str]] = {
    "models": [
        'm = Sequential(); m.add(layers.Dense(8, input_dim=4, activation="relu")); m.add(layers.Dense(1)); m.summary()',
        'm = Sequential([keras.Input(shape=(4,)), layers.Dense(8, activation="relu"), layers.Dense(1)]); m(X)',
        "m = Sequential([layers.Dense(3)]); m(X); assert m.built",
        "m = Sequential([layers.Dense(3)]); assert m.predict(X, verbose=0).shape == (40, 3)",
        "m = Sequential([layers.Dense(3)]); m.build((None, 4)); assert m.count_params() == 15",
        "m = Sequential([keras.Input(batch_shape=(None, 4)), layers.Dense(3)]); assert m.output_shape == (None, 3)",
        'i = keras.Input((4,), name="rows", dtype="float32"); m = Model(i, layers.Dense(1)(i)); assert m.input_names == ["rows"] or m.inputs[0].name == "rows"',
        "i = keras.Input((4,), batch_size=8); m = Model(inputs=i, outputs=layers.Dense(1)(i))",
        'i = keras.Input((4,)); m = Model(inputs=[i], outputs=[layers.Dense(1, name="out")(i)], name="mine"); assert m.name == "mine"',
        "m = net(); assert len(m.layers) == 2 and m.get_layer(index=0) is m.layers[0]",
        "m = net(); m.layers[0].trainable = False; assert len(m.trainable_weights) == 2",
        "m = net(); assert len(m.trainable_variables) == 4 and len(m.non_trainable_variables) == 0 and len(m.variables) == 4",
        "m = net(); assert m.weights[0].shape == (4, 8)",
        "m = net(); assert m.weights[0].numpy().shape == (4, 8)",
        "m = net(); assert m.layers[0].kernel.shape == (4, 8) and m.layers[0].bias.shape == (8,)",
        "m = net(); m.layers[0].kernel.assign(np.zeros((4, 8))); assert not np.array(m.layers[0].kernel).any()",
        "m = net(); print([w.name for w in m.weights], [w.path for w in m.weights])",
        "m = net(); features = Model(m.inputs, m.layers[0].output); assert features.predict(X, verbose=0).shape == (40, 8)",
        "m = net(); features = Model(inputs=m.input, outputs=m.get_layer(index=0).output)",
        "m = keras.models.clone_model(net()); assert len(m.layers) == 2",
        "m = Sequential.from_config(net().get_config()); assert len(m.layers) == 2",
        "m = keras.models.model_from_json(net().to_json())",
        "m = net(); m.summary(line_length=80); m.summary(show_trainable=True); m.summary(expand_nested=True)",
        "lines = []; net().summary(print_fn=lambda text, **how: lines.append(text)); assert lines",
        "m = net(); m(X, training=False); m(X, training=True)",
        "m = Sequential([keras.Input((4,)), layers.Dropout(0.5)]); assert np.std([np.array(m(X, training=True)).sum() for _ in range(5)]) > 0",
        "class Own(keras.Model):\n    def __init__(self):\n        super().__init__()\n        self.hidden, self.out = layers.Dense(8, activation='relu'), layers.Dense(1)\n    def call(self, x):\n        return self.out(self.hidden(x))\nm = Own(); m.compile('adam', 'mse'); m.fit(X, Y, verbose=0)",
        "class Own(keras.Model):\n    def __init__(self):\n        super().__init__()\n        self.a, self.drop = layers.Dense(8), layers.Dropout(0.5)\n    def call(self, x, training=False):\n        return self.drop(self.a(x), training=training)\nassert np.array(Own()(X)).shape == (40, 8)",
        "m = net(); assert m.loss == 'mse' and m.optimizer is not None",
        "m = fitted(); assert m.metrics_names[0] == 'loss'",
        "m = fitted(); assert [x.name for x in m.metrics][0] == 'loss'",
        "m = net(); print(m.losses, m.input_shape, m.output_shape, m.inputs, m.outputs)",
        "m = net(); m.pop(); m.add(layers.Dense(2)); assert m.output_shape == (None, 2)",
        "m = net(); m.trainable = False; assert m.count_params() == 49",
    ],
    "layers": [
        'layers.Dense(8, activation="relu", kernel_initializer="he_normal", kernel_regularizer=keras.regularizers.l2(0.01))',
        'layers.Dense(8, "relu", dtype="float32", name="a")',
        "layers.Dense(8, activation=keras.activations.relu)",
        'layers.Dense(8, activation=layers.LeakyReLU(negative_slope=0.1)) if False else layers.Dense(8, activation="leaky_relu")',
        "layers.Dense(8, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), bias_initializer=keras.initializers.Zeros())",
        "layers.Dense(8, kernel_constraint=keras.constraints.MaxNorm(3), activity_regularizer=keras.regularizers.L2(0.01))",
        "layers.Dense(8, activity_regularizer='l1')",
        "d = layers.Dense(3); d.build((None, 4)); assert d.built and d.kernel.shape == (4, 3)",
        "d = layers.Dense(3); assert np.array(d(X)).shape == (40, 3)",
        "d = layers.Dense(3); d(X); assert len(d.weights) == 2 and len(d.trainable_variables) == 2",
        "assert layers.Dense(3).compute_output_shape((None, 4)) == (None, 3)",
        "d = layers.Dense.from_config(layers.Dense(3, name='q').get_config()); assert d.units == 3 and d.name == 'q'",
        "print(layers.Dense(3).dtype, layers.Dense(3, name='k').name, layers.Dense(3).trainable, layers.Dense(3).built)",
        "layers.Dropout(0.5, noise_shape=None, seed=1)(X, training=True)",
        "layers.BatchNormalization(momentum=0.9, epsilon=1e-5, axis=-1, synchronized=False)",
        "b = layers.BatchNormalization(); b.build((None, 4)); assert b.gamma.shape == (4,) and b.moving_mean.shape == (4,)",
        "layers.LayerNormalization(epsilon=1e-6)(X)",
        "layers.Embedding(100, 8, mask_zero=False)",
        "e = layers.Embedding(10, 4); e.build(); assert e.embeddings.shape == (10, 4)",
        "i = keras.Input((5,), dtype='int32'); Model(i, layers.Flatten()(layers.Embedding(10, 4)(i)))",
        "layers.Flatten(data_format=None); layers.Reshape((2, 2)); layers.Reshape((-1, 2))(keras.Input((4,)))",
        "layers.Activation('relu')(X); layers.ReLU(6.0); layers.Softmax(axis=-1); layers.ELU(1.0); layers.PReLU()",
        "i = keras.Input((4,)); layers.concatenate([i, i]); layers.Concatenate(axis=-1)([i, i]); layers.add([i, i])",
        "i = keras.Input((4,)); layers.multiply([i, i]); layers.average([i, i]); layers.dot([i, i], axes=1)",
        "i = keras.Input((4,)); Model(i, layers.Lambda(lambda t: t * 2)(i)).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, layers.Lambda(lambda t: t ** 2, output_shape=(4,))(i))",
        "i = keras.Input((4,)); t = layers.Dense(4)(i); Model(i, t + i).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, i * 2 - 1).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, i[:, 0:1]).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, layers.RepeatVector(3)(i)); Model(i, layers.Reshape((2, 2))(i))",
        "i = keras.Input((4, 3)); Model(i, layers.Permute((2, 1))(i))",
        "layers.UnitNormalization()(X); layers.GroupNormalization(groups=2)(X); layers.RMSNormalization()(X)",
        "layers.SpectralNormalization(layers.Dense(3))(X)",
        "layers.ActivityRegularization(l2=0.01)(X); layers.Masking(mask_value=0.0)",
        "layers.GaussianNoise(0.1); layers.GaussianDropout(0.1); layers.AlphaDropout(0.1); layers.Identity()",
        "layers.TimeDistributed(layers.Dense(3))(np.ones((2, 5, 4), 'float32'))",
        "n = layers.Normalization(axis=-1); n.adapt(X); assert abs(np.array(n(X)).mean()) < 1e-3",
        "layers.Rescaling(1.0 / 255, offset=0.0)(X)",
        "layers.CategoryEncoding(num_tokens=3, output_mode='one_hot')(C)",
        "layers.Discretization(bin_boundaries=[0.0, 1.0])(X); layers.Discretization(num_bins=3).adapt(X[:, 0])",
        "layers.Hashing(num_bins=8); layers.HashedCrossing(num_bins=8)",
        "assert np.array(layers.IntegerLookup(vocabulary=[3, 5])(np.array([3, 5, 9]))).tolist() == [1, 2, 0]",
        "class Double(layers.Layer):\n    def call(self, x):\n        return x * 2\nassert np.allclose(np.array(Double()(X)), 2 * X)",
        "class Linear(layers.Layer):\n    def __init__(self, units=3):\n        super().__init__()\n        self.units = units\n    def build(self, shape):\n        self.w = self.add_weight(shape=(shape[-1], self.units), initializer='glorot_uniform', trainable=True)\n        self.b = self.add_weight(shape=(self.units,), initializer='zeros', trainable=True)\n    def call(self, x):\n        return keras.ops.matmul(x, self.w) + self.b\nm = Sequential([Linear(1)]); m.compile('adam', 'mse'); m.fit(X, Y, verbose=0)",
        "class Scale(keras.Layer):\n    def build(self, shape):\n        self.s = self.add_weight(shape=(), initializer='ones')\n    def call(self, x):\n        return x * self.s\nScale()(X)",
    ],
    "training": [
        "net().compile(optimizer='adam', loss='mse', metrics=['mae'], run_eagerly=False, jit_compile='auto', steps_per_execution=1)",
        "net().compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), loss=keras.losses.MeanSquaredError(), metrics=[keras.metrics.RootMeanSquaredError()])",
        "net().compile('sgd', loss=lambda t, p: keras.ops.mean(keras.ops.square(t - p), axis=-1))",
        "m = classes(); m.compile('rmsprop', 'sparse_categorical_crossentropy', metrics=['accuracy']); m.fit(X, C, batch_size=8, epochs=2, verbose=0, validation_split=0.2)",
        "m = classes(); m.compile('adam', 'categorical_crossentropy', ['accuracy']); m.fit(X, keras.utils.to_categorical(C, 3), verbose=0)",
        "h = net().fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y)); assert set(h.history) == {'loss', 'val_loss'}",
        "h = net().fit(X, Y, epochs=3, verbose=0); assert h.epoch == [0, 1, 2] and h.params['epochs'] == 3 and h.model",
        "h = net().fit(X, Y, epochs=3, verbose=0, validation_split=0.5); [h.history['val_' + k] for k in list(h.history) if not k.startswith('val_')]",
        "m = net(); m.fit(X, Y, verbose=0); m.history.history['loss']",
        "net().fit(X, Y, batch_size=None, shuffle=False, initial_epoch=0, steps_per_epoch=None, validation_freq=1, verbose=0)",
        "net().fit(X, Y, class_weight=None, sample_weight=np.ones(40), verbose=0)",
        "assert isinstance(net().evaluate(X, Y, verbose=0, return_dict=True), dict)",
        "assert net().predict(X, batch_size=8, verbose=0, steps=None).shape == (40, 1)",
        "m = net(); m.train_on_batch(X, Y); m.test_on_batch(X, Y); m.predict_on_batch(X)",
        "m = net(); m.train_on_batch(X, Y, return_dict=True)['loss']",
        "def rows():\n    while True:\n        yield X[:8], Y[:8]\nnet().fit(rows(), steps_per_epoch=3, epochs=2, verbose=0)",
        "class Rows(keras.utils.Sequence):\n    def __init__(self):\n        super().__init__()\n    def __len__(self):\n        return 5\n    def __getitem__(self, i):\n        return X[8 * i:8 * i + 8], Y[8 * i:8 * i + 8]\nnet().fit(Rows(), verbose=0)",
        "class Rows(keras.utils.PyDataset):\n    def __init__(self):\n        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=10)\n    def __len__(self):\n        return 5\n    def __getitem__(self, i):\n        return X[8 * i:8 * i + 8], Y[8 * i:8 * i + 8]\nnet().fit(Rows(), epochs=2, verbose=0)",
        "def rmse(t, p):\n    return keras.ops.sqrt(keras.ops.mean(keras.ops.square(t - p)))\nm = net(); m.compile('adam', rmse, metrics=[rmse]); m.fit(X, Y, verbose=0)",
        "class Mine(keras.losses.Loss):\n    def call(self, y_true, y_pred):\n        return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)\nm = net(); m.compile('adam', Mine()); m.fit(X, Y, verbose=0)",
        "class Mine(keras.metrics.Metric):\n    def __init__(self, name='mine', **kwargs):\n        super().__init__(name=name, **kwargs)\n        self.total = self.add_weight(name='total', initializer='zeros')\n    def update_state(self, y_true, y_pred, sample_weight=None):\n        self.total.assign_add(keras.ops.sum(y_pred))\n    def result(self):\n        return self.total\nm = net(); m.compile('adam', 'mse', metrics=[Mine()]); assert 'mine' in m.fit(X, Y, verbose=0).history",
        "m = net(); m.compile(loss='mse', optimizer='adam', weighted_metrics=[]); m.fit(X, Y, verbose=0)",
        "i = keras.Input((4,)); m = Model(i, [layers.Dense(1, name='a')(i), layers.Dense(1, name='b')(i)]); m.compile('adam', loss={'a': 'mse', 'b': 'mae'}, loss_weights={'a': 1.0, 'b': 0.5}); m.fit(X, {'a': Y, 'b': Y}, verbose=0)",
        "i = keras.Input((4,)); m = Model(i, {'a': layers.Dense(1)(i), 'b': layers.Dense(1)(i)}); m.compile('adam', {'a': 'mse'}); m.fit(X, {'a': Y, 'b': Y}, verbose=0)",
        "a, b = keras.Input((4,), name='a'), keras.Input((4,), name='b'); m = Model([a, b], layers.Dense(1)(layers.concatenate([a, b]))); m.compile('adam', 'mse'); m.fit({'a': X, 'b': X}, Y, verbose=0); m.predict([X, X], verbose=0)",
        "class Sampling(layers.Layer):\n    def call(self, inputs):\n        mean, log_var = inputs\n        return mean + keras.ops.exp(0.5 * log_var) * keras.random.normal(keras.ops.shape(mean))\nSampling()([X, X])",
    ],
    "optimizers": [
        "o = keras.optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False); o.learning_rate = 0.01; assert abs(float(np.array(o.learning_rate)) - 0.01) < 1e-6",
        "m = net(); m.optimizer.learning_rate.assign(0.5); assert abs(float(np.array(m.optimizer.learning_rate)) - 0.5) < 1e-6",
        "m = fitted(); assert int(np.array(m.optimizer.iterations)) == 2",
        "m = fitted(); assert m.optimizer.learning_rate.numpy() > 0",
        "m = fitted(); assert len(m.optimizer.variables) >= 8",
        "o = keras.optimizers.get({'class_name': 'Adam', 'config': {'learning_rate': 0.1}}); assert o.name.lower() == 'adam'",
        "o = keras.optimizers.SGD.from_config(keras.optimizers.SGD(0.1, momentum=0.9).get_config()); assert o.momentum == 0.9",
        "keras.optimizers.deserialize(keras.optimizers.serialize(keras.optimizers.Adam(0.1)))",
        "keras.optimizers.SGD(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.96, staircase=True))",
        "s = keras.optimizers.schedules.CosineDecay(0.1, 100); assert float(np.array(s(0))) > 0",
        "class Rate(keras.optimizers.schedules.LearningRateSchedule):\n    def __init__(self, rate):\n        self.rate = rate\n    def __call__(self, step):\n        return self.rate / (step + 1)\nm = net(); m.compile(keras.optimizers.SGD(Rate(0.1)), 'mse'); m.fit(X, Y, verbose=0)",
        "keras.optimizers.Adam(clipnorm=1.0); keras.optimizers.AdamW(weight_decay=0.004); keras.optimizers.Nadam(); keras.optimizers.Adamax()",
        "keras.optimizers.Lamb(); keras.optimizers.Adafactor(); keras.optimizers.Lion(); keras.optimizers.Ftrl()",
        "keras.optimizers.Adam(name='mine', ema_momentum=0.99, use_ema=True, loss_scale_factor=None)",
    ],
    "metrics and losses": [
        "a = keras.metrics.Accuracy(); a.update_state([1, 2], [1, 3]); assert float(np.array(a.result())) == 0.5; a.reset_state()",
        "m = keras.metrics.Mean(name='loss'); m.update_state(3.0); m(5.0); assert float(np.array(m.result())) == 4.0",
        "m = keras.metrics.MeanSquaredError(name='mse', dtype='float32'); m.update_state([0.0], [1.0], sample_weight=[1])",
        "assert abs(float(np.array(keras.losses.mean_squared_error([0.0, 1.0], [0.0, 0.0]))) - 0.5) < 1e-6",
        "assert float(np.array(keras.losses.BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]]))) > 0",
        "keras.losses.MeanSquaredError(reduction='sum_over_batch_size', name='q', dtype=None)(Y, Y)",
        "keras.losses.get('mse'); keras.metrics.get('mae'); keras.activations.get('relu'); keras.initializers.get('he_normal')",
        "keras.losses.serialize(keras.losses.Huber()); keras.losses.deserialize('mse')",
        "keras.metrics.AUC(num_thresholds=100, curve='PR', name='pr'); keras.metrics.Precision(thresholds=0.5); keras.metrics.Recall(class_id=0)",
        "keras.metrics.F1Score(average='macro'); keras.metrics.R2Score(); keras.metrics.MeanIoU(num_classes=3)",
        "t = keras.metrics.TruePositives(); t.update_state([1, 1], [1, 0]); assert float(np.array(t.result())) == 1",
        "p = keras.metrics.Precision(); p.update_state([1, 0], [1, 1]); print(p.true_positives, p.false_positives)",
        "keras.metrics.PearsonCorrelation(); keras.metrics.ConcordanceCorrelation()",
        "w = keras.metrics.MeanMetricWrapper(fn=keras.losses.mean_squared_error, name='w'); w.update_state([[1.0]], [[0.0]])",
    ],
    "units": [
        "assert np.array(keras.activations.relu(np.array([-1.0, 2.0]))).tolist() == [0.0, 2.0]",
        "keras.activations.softmax(X); keras.activations.sigmoid(X); keras.activations.gelu(X); keras.activations.glu(X)",
        "assert np.array(keras.initializers.he_normal()((2, 3))).shape == (2, 3)",
        "keras.initializers.GlorotUniform(seed=1)(shape=(2, 3), dtype='float32'); keras.initializers.Constant(0.1)((2,))",
        "keras.initializers.deserialize(keras.initializers.serialize(keras.initializers.Ones()))",
        "keras.regularizers.l1_l2(l1=0.01, l2=0.01); keras.regularizers.L1(0.1)(X); keras.regularizers.get('l2')",
        "keras.constraints.NonNeg()(X); keras.constraints.max_norm(2) if hasattr(keras.constraints, 'max_norm') else keras.constraints.MaxNorm(2)",
        "assert keras.activations.get(None) is not None and keras.regularizers.get(None) is None",
    ],
    "callbacks": [
        "net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.EarlyStopping(monitor='loss', patience=1, restore_best_weights=True)])",
        "h = net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.ReduceLROnPlateau('loss')]); assert 'learning_rate' in h.history",
        "h = net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.LearningRateScheduler(lambda e, lr: lr * 0.9)]); assert 'learning_rate' in h.history",
        "net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(str(tmp / 'best.keras'), save_best_only=True, monitor='loss')])",
        "net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(str(tmp / 'w.weights.h5'), save_weights_only=True)])",
        "net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.CSVLogger(str(tmp / 'log.csv')), keras.callbacks.TerminateOnNaN()])",
        "net().fit(X, Y, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs['loss'])])",
        "class Mine(keras.callbacks.Callback):\n    def on_train_begin(self, logs={}):\n        self.losses = []\n    def on_batch_end(self, batch, logs={}):\n        self.losses.append(logs.get('loss'))\nc = Mine(); net().fit(X, Y, verbose=0, callbacks=[c]); assert len(c.losses) == 2",
        "class Stop(keras.callbacks.Callback):\n    def on_epoch_end(self, epoch, logs=None):\n        self.model.stop_training = True\nassert len(net().fit(X, Y, epochs=5, verbose=0, callbacks=[Stop()]).epoch) == 1",
        "class Keep(keras.callbacks.Callback):\n    def on_epoch_end(self, epoch, logs=None):\n        for k, v in logs.items():\n            assert np.isscalar(v) and k in ('loss', 'val_loss')\nnet().fit(X, Y, verbose=0, validation_data=(X, Y), callbacks=[Keep()])",
        "keras.callbacks.ProgbarLogger(); keras.callbacks.RemoteMonitor(); keras.callbacks.BackupAndRestore(str(tmp / 'b'))",
        "net().fit(X, Y, epochs=2, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()]) if False else keras.callbacks.SwapEMAWeights(swap_on_epoch=True)",
    ],
    "utils": [
        "assert keras.utils.to_categorical(C, num_classes=3).shape == (40, 3)",
        "keras.utils.set_random_seed(1); keras.utils.normalize(X, axis=1)",
        "keras.utils.split_dataset((X, Y), left_size=0.8)",
        "keras.utils.pad_sequences([[1, 2], [3]], maxlen=3, padding='post')",
        "keras.utils.timeseries_dataset_from_array(np.arange(20.0), None, sequence_length=5)",
        "p = keras.utils.Progbar(3, verbose=0); p.update(1, values=[('loss', 1.0)]); p.add(1)",
        "@keras.utils.register_keras_serializable()\nclass Mine(layers.Layer):\n    def call(self, x):\n        return x\nkeras.utils.get_custom_objects()",
        "@keras.saving.register_keras_serializable(package='mine')\ndef act(x):\n    return x\nassert keras.saving.get_registered_name(act) == 'mine>act'",
        "with keras.utils.custom_object_scope({'a': abs}):\n    pass",
        "keras.backend.clear_session(); keras.utils.clear_session()",
        "assert keras.backend.epsilon() == 1e-7 and keras.backend.floatx() == 'float32' and keras.backend.image_data_format()",
        "keras.config.set_floatx('float32'); keras.config.image_data_format(); keras.config.disable_interactive_logging(); keras.config.enable_interactive_logging()",
        "keras.utils.model_to_dot if hasattr(keras.utils, 'model_to_dot') else 1/0",
        "assert keras.utils.unpack_x_y_sample_weight((X, Y)) is not None",
        "import pickle; m = net(); n = pickle.loads(pickle.dumps(m)); assert np.allclose(m.predict(X, verbose=0), n.predict(X, verbose=0))",
        "import copy; m = fitted(); n = copy.deepcopy(m); assert np.allclose(m.predict(X, verbose=0), n.predict(X, verbose=0))",
        "print(keras.__version__)",
    ],
    "saving": [
        "m = fitted(); m.save(str(tmp / 'm.keras')); n = keras.models.load_model(str(tmp / 'm.keras')); assert np.allclose(m.predict(X, verbose=0), n.predict(X, verbose=0))",
        "m = net(); m.save(tmp / 'm.keras', overwrite=True); keras.saving.load_model(tmp / 'm.keras', compile=False)",
        "m = net(); m.save_weights(str(tmp / 'm.weights.h5')); m.load_weights(str(tmp / 'm.weights.h5'))",
        "m = net(); keras.models.save_model(m, str(tmp / 'm.keras')); keras.models.load_model(str(tmp / 'm.keras'), custom_objects={})",
        "m = net(); m.set_weights(m.get_weights()); assert len(m.get_weights()) == 4",
        "keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layers.Dense(3)))",
        "json = net().to_json(); assert isinstance(json, str)",
    ],
    "ops": [
        "assert float(np.array(keras.ops.mean(X))) == float(np.array(keras.ops.mean(X)))",
        "keras.ops.matmul(X, X.T); keras.ops.concatenate([X, X], axis=-1); keras.ops.expand_dims(X, 1); keras.ops.shape(X)",
        "keras.ops.square(X); keras.ops.sqrt(np.abs(X)); keras.ops.exp(X); keras.ops.log(np.abs(X) + 1); keras.ops.abs(X)",
        "i = keras.Input((4,)); Model(i, keras.ops.relu(i)).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, keras.ops.exp(i)).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, keras.ops.concatenate([i, i], axis=-1)).predict(X, verbose=0)",
        "i = keras.Input((4,)); Model(i, keras.ops.mean(i, axis=-1, keepdims=True)).predict(X, verbose=0)",
        "assert keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(X)).shape == (40, 4)",
        "keras.ops.one_hot(C, 3); keras.ops.cast(X, 'float32'); keras.ops.reshape(X, (-1,)); keras.ops.zeros((2, 3))",
        "keras.random.normal((2, 3)); keras.random.uniform((2,), seed=1); keras.random.SeedGenerator(1)",
    ],
    "names": [
        "keras.Layer, keras.Loss, keras.Metric, keras.Optimizer, keras.Initializer, keras.Regularizer, keras.Model, keras.Sequential",
        "keras.Variable(np.ones(3))",
        "layers.InputLayer(shape=(4,)); layers.InputSpec(ndim=2)",
        "keras.KerasTensor if hasattr(keras, 'KerasTensor') else 1/0",
        "keras.datasets.mnist.load_data; keras.datasets.imdb.get_word_index; keras.datasets.boston_housing, keras.datasets.cifar10",
        "keras.preprocessing.sequence.pad_sequences([[1]])",
    ],
}


def namespace(name: str, folder: Any) -> dict[str, Any]:
    """What a line runs in, with that library."""
    keras = importlib.import_module(name)
    layers, Sequential = keras.layers, keras.Sequential  # noqa: N806
    for module in ("optimizers", "callbacks", "utils", "datasets", "preprocessing", "ops", "random", "saving", "config"):
        try:
            importlib.import_module(f"{name}.{module}")
        except ImportError:
            continue
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 4)).astype("float32")
    y = x.sum(1, keepdims=True)

    def net() -> Any:
        model = Sequential([keras.Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    def fitted() -> Any:
        model = net()
        model.fit(x, y, verbose=0)
        return model

    def classes() -> Any:
        return Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])

    given = {"keras": keras, "layers": layers, "Sequential": Sequential, "Model": keras.Model, "np": np, "tmp": folder}
    return {**given, "X": x, "Y": y, "C": np.arange(40) % 3, "net": net, "fitted": fitted, "classes": classes}


def lines() -> list[str]:
    """All lines."""
    return [line for each in IDIOMS.values() for line in each]


def failure(name: str, line: str, folder: Any) -> str | None:
    """What a line raises with that library; None where it runs."""
    import contextlib
    import io
    import warnings

    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(line, "<idiom>", "exec"), namespace(name, folder))
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None



