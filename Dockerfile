# The gateway and the exporter, each an image of its own: `docker build --target gateway .`, `docker build --target exporter .`
#
# Runs on any x86-64 CPU of the last fifteen years: llama.cpp's kernels are built for every kind of CPU and chosen at start.
# For another architecture: --build-arg RUSTFLAGS=

FROM rust:1.95-bookworm AS deps
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake clang libclang-dev g++ make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ARG RUSTFLAGS="-C target-cpu=x86-64-v2"
ARG FEATURES=gateway/dynamic-backends,exporter/influx,exporter/otlp,exporter/kafka,exporter/s3
ENV CARGO_TERM_COLOR=never CARGO_BUILD="cargo build --release --locked -p gateway -p exporter --features"

# First only what says which dependencies there are: as long as that stays, they and llama.cpp are not built again.
COPY Cargo.toml Cargo.lock ./
COPY openapi/Cargo.toml openapi/
COPY gateway/Cargo.toml gateway/
COPY exporter/Cargo.toml exporter/
COPY bench/Cargo.toml bench/
COPY tests/Cargo.toml tests/
COPY fuzz/driver/Cargo.toml fuzz/driver/
COPY xtask/Cargo.toml xtask/
# Empty crates in place of ours; a manifest that names a bench wants its file.
RUN for crate in openapi gateway exporter bench tests fuzz/driver xtask; do \
      mkdir -p "$crate/src" "$crate/benches" && touch "$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs"; \
      for bench in $(sed -n '/^\[\[bench\]\]/{n;s/name = "\(.*\)"/\1/p;}' "$crate/Cargo.toml"); do \
        echo 'fn main() {}' >"$crate/benches/$bench.rs"; \
      done; \
    done \
 && $CARGO_BUILD "$FEATURES"

FROM deps AS build
# An argument ends with its stage.
ARG RUSTFLAGS="-C target-cpu=x86-64-v2"
ARG FEATURES=gateway/dynamic-backends,exporter/influx,exporter/otlp,exporter/kafka,exporter/s3
COPY openapi openapi
COPY gateway gateway
COPY exporter exporter
# Newer than what was built of the empty ones. The libraries go where the binary looks for them: beside itself.
RUN find openapi gateway exporter -name '*.rs' -exec touch {} + \
 && $CARGO_BUILD "$FEATURES" \
 && mkdir -p /out/gateway /out/exporter \
 && cp target/release/gateway /out/gateway/ \
 && cp target/release/exporter /out/exporter/ \
 && llama=$(find target/release/build -path '*/llama-cpp-sys-2-*/out' -type d) \
 && LD_LIBRARY_PATH="$llama/lib:$llama/lib64" ldd target/release/gateway \
      | awk '$3 ~ "llama-cpp-sys" { print $3 }' | xargs -r cp -L -t /out/gateway \
 && find "$llama/backends" -name '*.so' -exec cp -t /out/gateway {} + \
 && strip --strip-debug /out/gateway/* /out/exporter/*

FROM debian:bookworm-slim AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
 && rm -rf /var/lib/apt/lists/*

# Users of their own, so that neither reads the other's files.
FROM base AS exporter
RUN groupadd --gid 10002 exporter && useradd --uid 10002 --gid 10002 --no-create-home --shell /usr/sbin/nologin exporter \
 && mkdir /data && chown exporter:exporter /data
COPY --from=build /out/exporter/exporter /usr/local/bin/exporter
USER 10002:10002
ENV EXPORTER_LISTEN=0.0.0.0:9464 EXPORTER_DATA_DIR=/data
EXPOSE 9464
VOLUME /data
ENTRYPOINT ["exporter"]
CMD ["serve"]

FROM base AS gateway
RUN groupadd --gid 10001 gateway && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin gateway \
 && mkdir /data && chown gateway:gateway /data && ln -s /opt/sluice/gateway /usr/local/bin/gateway
COPY --from=build /out/gateway/ /opt/sluice/
USER 10001:10001
ENV GATEWAY_LISTEN=0.0.0.0:8080 GATEWAY_DATA_DIR=/data LD_LIBRARY_PATH=/opt/sluice
EXPOSE 8080
VOLUME /data
ENTRYPOINT ["/opt/sluice/gateway"]
CMD ["serve"]
