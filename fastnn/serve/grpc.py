"""The Open Inference Protocol v2 over gRPC (KServe, Triton), beside HTTP: the same models, counts, hooks and limits.

Source: https://github.com/kserve/open-inference-protocol, open_inference_grpc.proto.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn
from fastnn import _names
from fastnn._checks import shown

from . import running
from .asgi import Application
from .predicting import predicted
from .protocol import DATATYPES, RequestError, of_bytes

if TYPE_CHECKING:
    from fastnn.typing import Array

SERVICE = "inference.GRPCInferenceService"
CALLS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
# The messages and their fields, numbered from 1: a text where nothing is said; [several]; {map from texts}.
MESSAGES = """
ServerLiveRequest
ServerLiveResponse live:bool
ServerReadyRequest
ServerReadyResponse ready:bool
ModelReadyRequest name version
ModelReadyResponse ready:bool
ServerMetadataRequest
ServerMetadataResponse name version extensions:[string]
ModelMetadataRequest name version
ModelMetadataResponse name versions:[string] platform inputs:[.TensorMetadata] outputs:[.TensorMetadata]
ModelMetadataResponse.TensorMetadata name datatype shape:[int64]
ModelInferRequest model_name model_version id parameters:{InferParameter} inputs:[.InferInputTensor] \
 outputs:[.InferRequestedOutputTensor] raw_input_contents:[bytes]
ModelInferRequest.InferInputTensor name datatype shape:[int64] parameters:{InferParameter} contents:InferTensorContents
ModelInferRequest.InferRequestedOutputTensor name parameters:{InferParameter}
ModelInferResponse model_name model_version id parameters:{InferParameter} outputs:[.InferOutputTensor] \
 raw_output_contents:[bytes]
ModelInferResponse.InferOutputTensor name datatype shape:[int64] parameters:{InferParameter} \
 contents:InferTensorContents
InferParameter bool_param:bool int64_param:int64 string_param double_param:double uint64_param:uint64
InferTensorContents bool_contents:[bool] int_contents:[int32] int64_contents:[int64] uint_contents:[uint32] \
 uint64_contents:[uint64] fp32_contents:[float] fp64_contents:[double] bytes_contents:[bytes]
"""
ONE_OF = {"InferParameter": "parameter_choice"}
# Which contents have a datatype; of two bytes a float comes as raw bytes alone.
CONTENTS = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
CONTENTS |= dict.fromkeys(("INT8", "INT16", "INT32"), "int") | dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint")
# gRPC's words for statuses of HTTP.
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 413: "RESOURCE_EXHAUSTED"}


@cache
def messages() -> Mapping[str, Any]:
    """The protocol's messages as classes of protobuf's, by name, made of the table above, without generated code."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="open_inference_grpc.proto", package="inference", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    made: dict[str, Any] = {}
    for full, *fields in (line.split() for line in MESSAGES.splitlines() if line):
        outer, _, inner = full.rpartition(".")
        message = made[full] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        for number, field in enumerate(fields, 1):
            name, _, kind = field.partition(":")
            added = message.field.add(name=name, number=number, label=3 if kind[:1] in ("[", "{") else 1)
            if kind.startswith("{"):
                entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=kinds.TYPE_STRING)
                value = entry.field.add(name="value", number=2, label=1, type=kinds.TYPE_MESSAGE)
                value.type_name, kind = f".inference.{kind.strip('{}')}", f".{entry.name}"
            kind = kind.strip("[]") or "string"
            if kind.islower():
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
            else:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".inference.{full}{kind}"
                if kind[0] != ".":
                    added.type_name = f".inference.{kind}"
            if full in ONE_OF:
                added.oneof_index = 0
        if full in ONE_OF:
            message.oneof_decl.add(name=ONE_OF[full])
    service = file.service.add(name=SERVICE.rpartition(".")[2])
    for call in CALLS:
        service.method.add(name=call, input_type=f".inference.{call}Request", output_type=f".inference.{call}Response")
    # A pool of its own: a client's generated code may be in the process, too, under the same names.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(each) for name, each in found.items()}


class Server:
    """A server of gRPC that lives as long as an application, once it is one of ``application.companions``.

    port: 0 for any that is free; once it runs, the one that it has. tls: files with a certificate and its key, PEM.
    shared: whether other processes listen there, too. The application's token and limits hold. ImportError where
    grpcio is missing, OSError where the port is taken.
    """

    def __init__(
        self, app: Application, host: str, port: int, tls: tuple[str, str] | None = None, shared: bool = False
    ) -> None:
        try:
            import google.protobuf  # noqa: F401
            import grpc.aio  # noqa: F401
        except ImportError as error:
            raise ImportError('fastnn.serve.grpc needs grpcio: pip install "fastnn[grpc]"') from error
        if not shared:
            running.bound(host, port).close()  # what is wrong with it is said before anything begins
        self._app, self._host, self.port, self._tls, self._shared = app, host, port, tls, shared
        self._server: Any = None

    async def start(self) -> None:
        """Listen."""
        import grpc

        calls = {name: grpc.unary_unary_rpc_method_handler(self._handler(name)) for name in CALLS}
        # Beside the rows so many bytes for names and shapes.
        said = {"max_receive_message_length": self._app.max_body + 65536, "max_send_message_length": -1}
        said["so_reuseport"] = int(self._shared)
        server = self._server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in said.items()])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
        address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        if self._tls is None:
            self.port = server.add_insecure_port(address)
        else:
            certificate, key = (Path(each).read_bytes() for each in self._tls)
            self.port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        await server.start()
        self._app.say(logging.INFO, "grpc", {"port": self.port})

    async def stop(self) -> None:
        """Take no more requests, and answer those that have come."""
        if self._server is not None:
            await self._server.stop(self._app.timeout)

    def _handler(self, name: str) -> Any:
        """What answers a call: with a status and words where it cannot."""
        import grpc
        from google.protobuf.message import DecodeError

        app, read, answer = self._app, messages()[f"{name}Request"], messages()[f"{name}Response"]

        async def answered(data: bytes, context: Any) -> bytes:
            given = dict(context.invocation_metadata())
            try:
                if name not in CALLS[:2] and not app.allows(str(given.get("authorization", "")).encode()):
                    raise RequestError("a bearer token is needed: the metadata authorization: Bearer TOKEN", 401)
                found = await asyncio.wait_for(self._answer(name, read.FromString(data), given), app.timeout)
                return bytes(answer(**found).SerializeToString())
            except DecodeError:
                status, said = 400, f"these bytes are no {name}Request"
            except RequestError as error:
                status, said = error.status, str(error)
            except TimeoutError:
                status, said = 503, f"the prediction did not end within {app.timeout:g} seconds"
            except Exception as error:
                app.say(logging.ERROR, "grpc failed", {"error": type(error).__name__})
                status, said = 500, "the server failed; its log says more"
            if app.meter is not None:
                app.meter.failed(status)
            await context.abort(getattr(grpc.StatusCode, STATUS.get(status, "INTERNAL")), said)
            raise AssertionError

        return answered

    async def _answer(self, name: str, request: Any, given: Any) -> dict[str, Any]:
        """The fields of an answer."""
        models = self._app.models
        if name == "ModelInfer":
            return await self._infer(request, given)
        if name == "ServerLive":
            return {"live": True}
        if name == "ServerReady":
            return {"ready": bool(models.names()) and not self._app.is_draining}
        if name == "ServerMetadata":
            return {"name": "fastnn", "version": fastnn.__version__}
        try:
            served = models.get(request.name, request.version or None)
        except RequestError:
            if name == "ModelReady":
                return {"ready": False}
            raise
        if name == "ModelReady":
            return {"ready": True}
        said = served.metadata(models.versions(request.name))
        said.pop("parameters", None)
        return said

    async def _infer(self, request: Any, given: Any) -> dict[str, Any]:
        ident, parent = (str(given.get(name, ""))[:128] for name in ("x-request-id", "traceparent"))
        name, version, trace = request.model_name, request.model_version or None, parent.partition("-")[2][:32]
        served, outputs = await predicted(self._app, name, version, _tensors(request), ident, trace)
        found = {tensor.name: (tensor, array) for tensor, array in outputs}
        answer: dict[str, Any] = {"model_name": name, "model_version": served.version, "id": request.id}
        answer |= {"outputs": [], "raw_output_contents": []}
        for each in [each.name for each in request.outputs] or found:
            if each not in found:
                raise RequestError(
                    f"outputs: unknown {shown(each)}{_names.hint(each, found)}; known: {', '.join(found)}"
                )
            tensor, array = found[each]
            said = {"name": each, "datatype": tensor.datatype, "shape": array.shape}
            if request.raw_input_contents:
                answer["raw_output_contents"].append(array.tobytes())
            else:
                said["contents"] = {"fp32_contents": array.ravel().tolist()}
            answer["outputs"].append(said)
        return answer


def beside(app: Application, **address: Any) -> None:
    """Have an application answer over gRPC, too. address: as `Server` has it."""
    app.companions.append(Server(app, **address))


def _tensors(request: Any) -> dict[str, Array]:
    """The tensors of a request by name, of raw bytes or of typed contents. RequestError for what is wrong."""
    raw = request.raw_input_contents
    if not request.inputs or (raw and len(raw) != len(request.inputs)):
        raise RequestError(
            f"inputs must be at least one; raw_input_contents none or {len(request.inputs)}, got {len(raw)}"
        )
    tensors: dict[str, Array] = {}
    for number, each in enumerate(request.inputs):
        try:
            if each.name in tensors:
                raise RequestError("it is there already")
            if raw and each.HasField("contents"):
                raise RequestError("it has contents beside raw_input_contents; leave one out")
            data = raw[number] if raw else _bytes(each)
            tensors[each.name] = of_bytes({"shape": list(each.shape), "datatype": each.datatype}, data)
        except RequestError as error:
            raise RequestError(f"inputs[{number}] {shown(each.name)}: {error}") from None
    return tensors


def _bytes(tensor: Any) -> bytes:
    """Typed contents as the raw bytes that would say the same; none for a datatype that there is not."""
    dtype, kind = DATATYPES.get(tensor.datatype), CONTENTS.get(tensor.datatype, "raw_input")
    for each, _ in tensor.contents.ListFields():
        if each.name != f"{kind}_contents":
            raise RequestError(f"{tensor.datatype} comes as {kind}_contents, got {each.name}")
    values = [] if kind == "raw_input" or dtype is None else getattr(tensor.contents, f"{kind}_contents")
    if kind == "bytes":
        return b"".join(len(each).to_bytes(4, "little") + each for each in values)
    try:
        return np.array(list(values), dtype).tobytes()
    except OverflowError:
        raise RequestError(f"{kind}_contents must be of {tensor.datatype}, got a larger number") from None
