# Two stages: the first builds a virtual environment, the second is the base image and that environment. What
# built it (a C compiler, hatchling, pip's cache, the sources) stays behind.
FROM python:3.13-slim AS build
# Without them the wheel would be pure, and the hub slower.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
RUN python -m venv --without-pip /opt/hubbub
WORKDIR /src
COPY . .
RUN pip --python /opt/hubbub/bin/python install --no-cache-dir --disable-pip-version-check \
    --constraint constraints.txt '.[cluster]'

FROM python:3.13-slim
COPY --from=build /opt/hubbub /opt/hubbub
ENV PATH=/opt/hubbub/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that a supervisor can see that it is not root; no such user need exist. It owns no file.
USER 10001:10001
# Here the hub looks for hubbub.toml.
WORKDIR /etc/hubbub
EXPOSE 9000 9001 8080
HEALTHCHECK --interval=10s --timeout=10s --start-period=10s --retries=3 CMD ["hubbub", "health"]
# Exec form: the hub is process 1 and gets SIGTERM itself. It starts no children, so it needs no init.
ENTRYPOINT ["hubbub"]
CMD ["serve"]
