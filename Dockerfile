# syntax=docker/dockerfile:1
# Owns the server's image: the page built by Node, the server with the page in it built by Rust, and nothing else but the C library.
# For each platform by itself (docker buildx build --platform linux/amd64,linux/arm64 .); the page is built once for all.

# As the tests run it. Debian 12 in all stages: the C library that is linked is the one that is there.
ARG NODE_IMAGE=node:22-bookworm-slim
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS page
WORKDIR /source/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm \
    npm ci --no-audit --no-fund --loglevel=error
COPY web/ ./
RUN npm run build

FROM ${RUST_IMAGE} AS server
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG TARGETPLATFORM
WORKDIR /source
COPY Cargo.toml Cargo.lock build.rs ./
# Cargo wants every member and target of the workspace to be there, also those it does not build.
COPY benches benches
COPY load-tests load-tests
COPY tests tests
COPY src src
COPY --from=page /source/web/dist web/dist
ARG REVISION=unknown
ENV SFUMATO_REVISION=${REVISION} CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=/target
# The cache is not part of the image, so what is wanted is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETPLATFORM},target=/target \
    cargo build --locked --release --package sfumato --bin sfumato \
    && install -D /target/release/sfumato /out/sfumato
# The image has the C library and GCC's support library, nothing more.
RUN if ldd /out/sfumato | grep -vE '^\s*(linux-vdso|libc|libm|libgcc_s|/lib(64)?/ld-linux-[a-z0-9-]+)\.so'; then \
      echo 'the libraries above are not in the image' >&2; exit 1; \
    fi

FROM ${BASE_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sfumato" \
      org.opencontainers.image.description="A selective forwarding unit for multi-party conferences" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=server /out/sfumato /usr/bin/sfumato
# It runs here, too.
RUN ["/usr/bin/sfumato", "--version"]
# Arenas of the C library, one a thread, cost 14 % more memory with a thousand subscribers.
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
# Signalling and page, operations, media: one UDP port for each shard, from 7882 on.
EXPOSE 7880/tcp 6789/tcp 7882/udp
# Drains: new rooms are refused, running ones go on. Give it time (--stop-timeout).
STOPSIGNAL SIGTERM
# Whether it is alive: one that drains or is overloaded is not ready, and must not be restarted. Finds the server by variables and the
# file they name, not by the arguments of the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/bin/sfumato", "healthcheck", "--live"]
ENTRYPOINT ["/usr/bin/sfumato"]
