"""What Keras 3 has and fastnn has not, so that who asks for it is told so. Imported when somebody does."""

from __future__ import annotations

# Of its modules; docs/differences.md says what is not there, and why.
_NAMES = """
AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D
AdaptiveMaxPooling3D AugMix AutoContrast CTC ContrastLimitedAdaptiveHistogramEqualization ConvLSTM1D ConvLSTM2D
ConvLSTM3D CutMix Equalization FlaxLayer FloatDTypePolicy Function InputSpec JaxLayer KerasFileEditor
MaxNumBoundingBoxes MelSpectrogram MixUp MultiOptimizer OptimizerMap OrbaxCheckpoint Quantizer RandAugment
RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale
RandomHue RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness RandomShear RematScope
ReversibleEmbedding STFT STFTInitializer STFTSpectrogram Solarization StatelessScope
SymbolicScope TFSMLayer TorchModuleWrapper array_to_img bounding_boxes ctc device distillation distribution
dtype_policies export img_to_array load_img mixed_precision name_scope quantizers remat save_img stft tree visualization
ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 DenseNet201 EfficientNetB0
EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7
EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2L EfficientNetV2M EfficientNetV2S
InceptionResNetV2 InceptionV3 MobileNetV2 MobileNetV3Large MobileNetV3Small NASNetLarge NASNetMobile ResNet101
ResNet101V2 ResNet152 ResNet152V2 ResNet50 ResNet50V2 VGG16 VGG19 Xception convnext densenet efficientnet
efficientnet_v2 imagenet_utils inception_resnet_v2 inception_v3 mobilenet_v2 mobilenet_v3 nasnet resnet resnet_v2
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
jit_compile layer_range line_length lora_alpha lora_rank max_queue_size optional positions
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
