# A server of models in 90 MB: Python, NumPy, fastnn, Starlette, uvicorn.
#
#     docker build -t fastnn .
#     docker run --read-only --cap-drop ALL -p 8000:8000 -v "$PWD/models:/models:ro" fastnn
#
# serves every model file in ./models; what stands behind the image's name is given to `fastnn serve`.
FROM python:3.13-alpine3.22 AS build
# Alpine keeps one version of a package, so that none can be asked for.
# hadolint ignore=DL3018
RUN apk add --no-cache build-base && \
    # fastnn multiplies by kernels of its own: without OpenBLAS and its Fortran, NumPy is a third.
    pip wheel --no-cache-dir --no-deps --no-binary numpy -w /wheels -Csetup-args=-Dblas=none -Csetup-args=-Dlapack=none \
    -Cinstall-args=--tags=runtime,python-runtime "numpy>=2"
WORKDIR /source
COPY pyproject.toml setup.py README.md LICENSE ./
COPY fastnn fastnn
RUN pip install --no-cache-dir --no-compile --prefix=/install /wheels/*.whl . "starlette>=0.46" "uvicorn>=0.30" \
    "uvloop>=0.21" "httptools>=0.6.3" "orjson>=3.10" "prometheus_client>=0.20" && \
    # Symbols, and a compiler of Fortran's, serve nobody here.
    find /install -name "*.so" -exec strip {} + && rm -r /install/lib/python3*/site-packages/numpy/f2py && \
    # It works; and what it imports is compiled, which a file system that is read-only could not keep.
    PYTHONPATH=$(echo /install/lib/python3*/site-packages) python -c "\
import fastnn.cli, fastnn.serve.running, uvicorn.lifespan.on, uvicorn.loops.uvloop, uvicorn.protocols.http.httptools_impl; \
from fastnn.layers import Dense, Input; from fastnn.models import Sequential; \
fastnn.serve.app(Sequential([Input((2,)), Dense(1)]))"

FROM python:3.13-alpine3.22
# What NumPy is linked with.
# hadolint ignore=DL3018
RUN apk add --no-cache libstdc++
LABEL org.opencontainers.image.title="fastnn" \
    org.opencontainers.image.description="Models of fastnn by the Open Inference Protocol" \
    org.opencontainers.image.licenses="MIT"
COPY --from=build /install /usr/local
# Nothing is written: the file system may be read-only.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /models
# A number, so that Kubernetes sees that it is not root.
USER 65532:65532
EXPOSE 8000
# SIGTERM drains: what was asked is answered, then it ends.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["wget", "-q", "-Y", "off", "-O", "/dev/null", "http://127.0.0.1:8000/v2/health/ready"]
ENTRYPOINT ["fastnn", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/models"]
