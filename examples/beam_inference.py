"""Predictions in a pipeline of Apache Beam: RunInference with a model of fastnn, from a file or a registry.

    python examples/beam_inference.py --model bought.fastnn --input rows.csv --output predictions
    python examples/beam_inference.py --registry sqlite:///shop.db --model bought@production --input "rows-*.csv" ...

A line of the input is a key and the model's columns of numbers, with commas; one of the output is the key and what the
model gives. Other options are Beam's: --runner, --streaming, ... The registry must be one that each worker reaches.
"""

import argparse

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

import fastnn


class FastnnModelHandler(ModelHandler[np.ndarray, PredictionResult, fastnn.Model]):
    """Loads a model once for each process, and predicts batches of rows.

    model: the path of a file; with registry, NAME or NAME@VERSION, which may be an alias.
    """

    def __init__(self, model, registry=None, min_batch_size=1, max_batch_size=4096, **options):
        super().__init__(min_batch_size=min_batch_size, max_batch_size=max_batch_size, **options)
        self._model, self._registry = model, registry

    def load_model(self):
        if self._registry is None:
            return fastnn.models.load_model(self._model, compile=False)
        name, _, version = self._model.partition("@")
        with fastnn.registry.open(self._registry) as registry:
            return registry.load(name, int(version) if version.isdecimal() else version or "latest", compile=False)

    def run_inference(self, batch, model, inference_args=None):
        for row, output in zip(batch, model.predict(np.stack(batch)), strict=True):
            yield PredictionResult(row, output, self._model)

    def update_model_path(self, model_path=None):
        """Beam's WatchFilePattern gives the path of a newer file."""
        self._model = model_path or self._model

    def get_num_bytes(self, batch):
        return sum(row.nbytes for row in batch)

    def get_metrics_namespace(self):
        return "fastnn"


def parsed(line):
    key, *values = line.split(",")
    return key, np.array(values, np.float32)


def written(pair):
    key, result = pair
    return ",".join([key, *(f"{value:.6g}" for value in np.ravel(result.inference))])


def run(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--model", "--input", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--registry")
    own, others = parser.parse_known_args(arguments)
    with beam.Pipeline(options=PipelineOptions(others)) as pipeline:
        (
            pipeline
            | "rows" >> beam.io.ReadFromText(own.input)
            | "parsed" >> beam.Map(parsed)
            | "predicted" >> RunInference(KeyedModelHandler(FastnnModelHandler(own.model, own.registry)))
            | "written" >> beam.Map(written)
            | "kept" >> beam.io.WriteToText(own.output, file_name_suffix=".csv")
        )


if __name__ == "__main__":
    run()
