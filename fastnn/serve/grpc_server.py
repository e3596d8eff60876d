"""The same protocol by gRPC: the service ``inference.GRPCInferenceService``, beside the HTTP server in its event loop.

Messages are made of the table `MESSAGES`, as the protocol's open_inference_grpc.proto has them, in a pool of their own:
a client in the same process may bring that file, too. Source: https://github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

import hmac
from time import perf_counter
from typing import Any

from fastnn._version import __version__

from .protocol import Request, RequestError, of_bytes, of_values
from .routes import EXTENSIONS

# Of each message the fields from 1 on: name and type, * where there are several, @ for a map of parameters by name.
MESSAGES = """
ServerLiveRequest
ServerLiveResponse live:bool
ServerReadyRequest
ServerReadyResponse ready:bool
ModelReadyRequest name:string version:string
ModelReadyResponse ready:bool
ServerMetadataRequest
ServerMetadataResponse name:string version:string extensions:string*
ModelMetadataRequest name:string version:string
ModelMetadataResponse name:string versions:string* platform:string inputs:.TensorMetadata* outputs:.TensorMetadata*
ModelMetadataResponse.TensorMetadata name:string datatype:string shape:int64*
ModelInferRequest model_name:string model_version:string id:string parameters:@ inputs:.InferInputTensor* \
outputs:.InferRequestedOutputTensor* raw_input_contents:bytes*
ModelInferRequest.InferInputTensor name:string datatype:string shape:int64* parameters:@ contents:InferTensorContents
ModelInferRequest.InferRequestedOutputTensor name:string parameters:@
ModelInferResponse model_name:string model_version:string id:string parameters:@ outputs:.InferOutputTensor* \
raw_output_contents:bytes*
ModelInferResponse.InferOutputTensor name:string datatype:string shape:int64* parameters:@ contents:InferTensorContents
InferParameter bool_param:bool? int64_param:int64? string_param:string? double_param:double? uint64_param:uint64?
InferTensorContents bool_contents:bool* int_contents:int32* int64_contents:int64* uint_contents:uint32* \
uint64_contents:uint64* fp32_contents:float* fp64_contents:double* bytes_contents:bytes*
"""
CONTENTS = {
    "BOOL": "bool",
    "INT8": "int",
    "INT16": "int",
    "INT32": "int",
    "INT64": "int64",
    "UINT8": "uint",
    "UINT16": "uint",
    "UINT32": "uint",
    "UINT64": "uint64",
    "FP32": "fp32",
    "FP64": "fp64",
    "BYTES": "bytes",
}


def messages() -> dict[str, Any]:
    """The classes of the messages by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="fastnn/inference.proto", package="inference", syntax="proto3")
    made: dict[str, Any] = {}
    for line in MESSAGES.strip().splitlines():
        name, *fields = line.split()
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        made[name] = message
        for number, each in enumerate(fields, 1):
            field_name, _, kind = each.partition(":")
            field = message.field.add(name=field_name, number=number, label=kinds.LABEL_OPTIONAL)
            if kind.endswith("*") or kind == "@":
                field.label = kinds.LABEL_REPEATED
            if kind.endswith("?"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="parameter_choice")
                field.oneof_index = 0
            kind = kind.rstrip("*?")
            if kind == "@":
                entry = message.nested_type.add(name="ParametersEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=kinds.TYPE_STRING)
                entry.field.add(
                    name="value", number=2, label=1, type=kinds.TYPE_MESSAGE
                ).type_name = ".inference.InferParameter"
                kind = ".ParametersEntry"
            if kind[0] == "." or kind[0].isupper():
                field.type = kinds.TYPE_MESSAGE
                field.type_name = f".inference.{name if kind[0] == '.' else ''}{kind}".replace("..", ".")
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in made
        if "." not in name
    }


class Service:
    """What answers, for an Application."""

    def __init__(self, app: Any, token: bytes | None) -> None:
        self._app, self._token = app, token
        self.types = messages()

    def handler(self) -> Any:
        """What grpc adds to a server."""
        import grpc

        calls = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
        }

        def method(name: str) -> Any:
            async def call(request: Any, context: Any) -> Any:
                try:
                    if self._token is not None and not name.startswith("Server"):
                        given = dict(context.invocation_metadata()).get("authorization", "")
                        if not hmac.compare_digest(given.encode(), self._token):
                            raise RequestError("a bearer token is needed: authorization: Bearer TOKEN", 401)
                    return await calls[name](request, self.types[f"{name}Response"])
                except RequestError as error:
                    code = {401: "UNAUTHENTICATED", 404: "NOT_FOUND"}.get(error.status, "INVALID_ARGUMENT")
                    await context.abort(grpc.StatusCode[code], str(error))

            return grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=self.types[f"{name}Request"].FromString,
                response_serializer=self.types[f"{name}Response"].SerializeToString,
            )

        return grpc.method_handlers_generic_handler(
            "inference.GRPCInferenceService", {name: method(name) for name in calls}
        )

    async def server_live(self, _: Any, answer: Any) -> Any:
        """Whether it can be asked."""
        return answer(live=True)

    async def server_ready(self, _: Any, answer: Any) -> Any:
        """Whether there are models, and it is not about to end."""
        return answer(ready=bool(self._app.models.names()) and not self._app.is_draining)

    async def server_metadata(self, _: Any, answer: Any) -> Any:
        """What serves."""
        return answer(name="fastnn", version=__version__, extensions=EXTENSIONS)

    async def model_ready(self, request: Any, answer: Any) -> Any:
        """Whether a model is there."""
        self._app.models.get(request.name, request.version or None)
        return answer(ready=True)

    async def model_metadata(self, request: Any, answer: Any) -> Any:
        """What a model reads and gives."""
        models = self._app.models
        said = models.get(request.name, request.version or None).metadata(models.versions(request.name))
        said.pop("parameters", None)
        return answer(**said)

    async def model_infer(self, request: Any, answer: Any) -> Any:
        """Predictions."""
        began = perf_counter()
        app = self._app
        served, shadow = app.models.route(request.model_name, request.model_version or None)
        found = _request(request)
        outputs = await served.predict(served.rows_of(found.tensors), found.rows, app.pool)
        chosen = {tensor.name: (tensor, array) for tensor, array in outputs}
        response = answer(model_name=served.name, model_version=served.version, id=request.id)
        for name in found.outputs or chosen:
            if name not in chosen:
                raise RequestError(f"outputs: unknown {name!r}; the model has {', '.join(chosen)}")
            tensor, array = chosen[name]
            said = response.outputs.add(name=name, datatype=tensor.datatype, shape=array.shape)
            if request.raw_input_contents:
                response.raw_output_contents.append(array.tobytes())
            else:
                said.contents.fp32_contents.extend(array.ravel().tolist())
        app.told(served, shadow, found, outputs, perf_counter() - began, app.next_id(), None)
        return response


def _request(given: Any) -> Request:
    """A request as HTTP has it."""
    raw, tensors = given.raw_input_contents, {}
    if not given.inputs:
        raise RequestError("inputs must be at least one tensor, got none")
    if raw and len(raw) != len(given.inputs):
        raise RequestError(f"raw_input_contents must be one for each of {len(given.inputs)} inputs, got {len(raw)}")
    for number, each in enumerate(given.inputs):
        said: dict[str, Any] = {"shape": list(each.shape), "datatype": each.datatype}
        try:
            if each.name in tensors:
                raise RequestError("the name is there already")
            if raw:
                tensors[each.name] = of_bytes(said, raw[number])
                continue
            said["data"] = list(getattr(each.contents, f"{CONTENTS.get(each.datatype, 'fp32')}_contents"))
            if each.datatype == "BYTES":
                said["data"] = [text.decode() for text in said["data"]]
            tensors[each.name] = of_values(said)
        except UnicodeDecodeError:
            raise RequestError(f"inputs[{number}] {each.name!r}: a text of BYTES is no UTF-8") from None
        except RequestError as error:
            raise RequestError(f"inputs[{number}] {each.name!r}: {error}") from None
    return Request(
        given.id or None, {}, tensors, dict.fromkeys((each.name for each in given.outputs), True) or None, True
    )


async def begun(app: Any, address: str, token: bytes | None, tls: tuple[str, str] | None) -> tuple[Any, int]:
    """A server that listens at an address, and its port. ImportError where grpcio is missing, OSError if it cannot."""
    try:
        import grpc
    except ImportError as error:
        raise ImportError('gRPC needs grpcio: pip install "fastnn[grpc]"') from error
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", app.max_body)])
    server.add_generic_rpc_handlers((Service(app, token).handler(),))
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            pair = (open(tls[1], "rb").read(), open(tls[0], "rb").read())  # noqa: SIM115
            port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise OSError(f"cannot listen at {address} for gRPC: {error}") from None
    await server.start()
    return server, port
