# What the steps of .ci/steps have in common. A step is run as it stands, from anywhere, and works in the folder that the
# variable FASTDROP_STEP names, or in a temporary one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -n "${FASTDROP_STEP:-}" ]; then
  mkdir -p "$FASTDROP_STEP"
  work=$(realpath "$FASTDROP_STEP")
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi

clang=19 # one version everywhere, so that a new report is a change of ours
clang_packages=("clang-$clang" "libclang-rt-$clang-dev" "libomp-$clang-dev" "llvm-$clang")

# Installs packages of Debian where a file or a command is missing.
need() {
  if ! command -v "$1" >/dev/null && ! test -e "$1"; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${@:2}"
  fi
}

# Runs pip in an environment, which it makes the first time. What is built is built in a folder of its own, because CMake
# remembers options.
pip_in() {
  local name=$1 command=$2
  shift 2
  test -d "$work/$name" || python3 -m venv "$work/$name"
  "$work/$name/bin/pip" "$command" --quiet --disable-pip-version-check -Cbuild-dir="$work/build-$name" "$@"
}

# Installs in an environment what is compiled by clang with sanitizers. Their run-time library must be there before Python's own.
sanitized_environment() {
  local name=$1 sanitizers=$2 isas=$3 library=$4
  shift 4
  need "clang++-$clang" "${clang_packages[@]}"
  rm -f "$work"/report* "$work"/leaks* # of an earlier run
  # Not stripped, so that reports name functions and lines.
  CXX=clang++-$clang pip_in "$name" install -Cinstall.strip=false -Ccmake.define.FASTDROP_SANITIZE="$sanitizers" \
    -Ccmake.define.FASTDROP_ISAS="$isas" "$@"
  export PATH="/usr/lib/llvm-$clang/bin:$PATH" # reports name functions by its llvm-symbolizer
  runtime=$("clang++-$clang" -print-file-name="libclang_rt.$library-x86_64.so")
}

# Sanitizers report to files, because pytest catches what a process prints, and its last words are lost with it.
fail() {
  cat "$work"/report* 2>/dev/null
  exit 1
}
# ASan also says which requests it could not serve, and the tests make such.
no_reports() { ! grep -qsE '(ERROR|WARNING): [A-Za-z]*Sanitizer:|runtime error:' "$work"/report* || fail; }
