"""What Keras 3 has and fastnn has not, so that who asks for it is told so. Imported when somebody does."""

from __future__ import annotations

# Of its modules; docs/differences.md says what is not there, and why.
_NAMES = """
AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
AdaptiveMaxPooling3D AdditiveAttention Attention AugMix AutoContrast AveragePooling1D AveragePooling2D
AveragePooling3D AvgPool1D AvgPool2D AvgPool3D Bidirectional CTC
ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose
Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CutMix DepthwiseConv1D DepthwiseConv2D
Equalization FlaxLayer FloatDTypePolicy Function GRU GRUCell GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupQueryAttention InputSpec JaxLayer KerasFileEditor
LSTM LSTMCell Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D
MaxPooling3D MelSpectrogram MixUp MultiHeadAttention MultiOptimizer OptimizerMap OrbaxCheckpoint Quantizer RNN
RandAugment RandomColorDegeneration RandomColorJitter
RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
RandomPerspective RandomPosterization RandomSaturation RandomSharpness RandomShear
RematScope ReversibleEmbedding STFT STFTInitializer STFTSpectrogram
SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Solarization
StackedRNNCells StatelessScope SymbolicScope TFSMLayer TorchModuleWrapper UpSampling1D UpSampling2D UpSampling3D
ZeroPadding1D ZeroPadding2D ZeroPadding3D applications array_to_img bounding_boxes ctc
device distillation distribution dtype_policies export img_to_array load_img
mixed_precision name_scope quantizers remat save_img stft tree visualization wrappers
"""
# Of its configuration and of modules that hold others.
_MODULES = """
Config disable_flash_attention disable_traceback_filtering enable_flash_attention
enable_traceback_filtering enable_unsafe_deserialization image is_flash_attention_enabled is_nnx_enabled
is_traceback_filtering_enabled legacy max_epochs max_steps_per_epoch set_backend set_max_epochs set_max_steps_per_epoch
"""
NAMES = frozenset(f"{_NAMES} {_MODULES}".split())
# Of classes and methods that fastnn has.
_ARGUMENTS = """
auto_scale_loss batch_shape data_format dtype expand_nested gptq_unpacked_column_size input_tensor
jit_compile layer_range line_length lora_alpha lora_rank mask_zero max_queue_size optional positions
quantization_config ragged renorm renorm_clipping renorm_momentum run_eagerly show_trainable skip_mismatch sparse
steps_per_execution synchronized use_multiprocessing workers zipped
"""
ARGUMENTS = frozenset(_ARGUMENTS.split())
# What to write in place of some.
INSTEAD = {
    "DTypePolicy": "fastnn.config.DTypePolicy",
    "Operation": "a subclass of fastnn.layers.Layer",
    "clear_session": "fastnn.utils.clear_session",
    "keras": "fastnn.layers, fastnn.models, ...: Keras's names are in fastnn itself",
    "load_model": "fastnn.models.load_model",
    "normalize": "fastnn.utils.normalize, or the layer Normalization",
    "save_model": "fastnn.models.save_model",
    "version": "fastnn.__version__",
    "to_categorical": "fastnn.utils.to_categorical",
    "Progbar": "fastnn.utils.Progbar",
    "pad_sequences": "fastnn.utils.pad_sequences",
    "plot_model": "fastnn.utils.plot_model",
    "split_dataset": "fastnn.utils.split_dataset",
    "timeseries_dataset_from_array": "fastnn.utils.timeseries_dataset_from_array",
}


def told(name: str, among: frozenset[str]) -> str:
    """What a name of Keras is here, to stand behind it in an error; "" where it is none."""
    if name in INSTEAD:
        return f" (write {INSTEAD[name]})"
    left_out = name in among or name.lower() in {each.lower().replace("_", "") for each in among}
    return " (Keras has it, fastnn does not: see docs/differences.md)" if left_out else ""
