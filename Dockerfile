# tagflow in a container: no compiler, no package manager's cache, not root.
#   docker build --tag tagflow .
#   docker run --rm --user "$(id -u)" --volume "$PWD:/work" \
#     --env DOCKER_CONFIG=/docker --volume "$HOME/.docker:/docker:ro" tagflow status
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
ARG EXTRAS=""
RUN python -m venv /opt/tagflow \
 && /opt/tagflow/bin/pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS:+[$EXTRAS]}"

FROM ${PYTHON}
RUN useradd --uid 10001 --create-home tagflow
COPY --from=build /opt/tagflow /opt/tagflow
ENV PATH=/opt/tagflow/bin:$PATH
USER 10001
WORKDIR /work
ENTRYPOINT ["tagflow"]
CMD ["--help"]
