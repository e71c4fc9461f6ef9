#!/bin/sh
# Finds or makes the libtorch that regraft is built on, and points .libtorch at it.
#
# With LIBTORCH exported, that libtorch is checked and used. Without it, a virtual environment .venv is made and the
# libtorch inside its torch package is used. Run again, it is done in a moment; `make setup` calls it.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
version=$(sed -n 's/^torch==//p' requirements.txt)

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
resolve() { (cd "$1" 2>/dev/null && pwd -P) || true; }

# The version of the libtorch in folder $1: the archive says it in build-version, the Python package in version.py.
version_of() {
    if [ -f "$1/build-version" ]; then
        cat "$1/build-version"
    elif [ -f "$1/version.py" ]; then
        sed -n "s/^__version__ = ['\"]\(.*\)['\"].*/\1/p" "$1/version.py"
    fi
}

check_tools() {
    if ! command -v cargo > /dev/null; then
        [ ! -x "$HOME/.cargo/bin/cargo" ] || die "cargo is installed but not in PATH: run \`. ~/.cargo/env\`"
        die "cargo is missing: install Rust 1.85 or newer with rustup (or \`apt-get install rustup && rustup default stable\`)"
    fi
    command -v "${CXX:-c++}" > /dev/null || die "a C++ compiler is missing: \`apt-get install g++\`"
}

check_python() {
    command -v "$PYTHON" > /dev/null || die "$PYTHON is missing: \`apt-get install python3 python3-venv\`"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$("$PYTHON" --version) is too old for torch $version: set PYTHON to a Python of 3.10 or newer, as in \`make setup PYTHON=python3.12\`"
    "$PYTHON" -c 'import ensurepip, venv' 2> /dev/null ||
        die "python3-venv is missing: \`apt-get install python3-venv\`"
    free=$(df -Pk . | awk 'NR == 2 { print int($(NF - 2) / 1048576) }')
    [ "$free" -ge 6 ] || die "torch takes about 5 GB; only $free GB are free here"
}

# A virtual environment with what requirements.txt asks for; kept as long as that file stays the same.
make_venv() {
    cmp -s requirements.txt .venv/installed.txt && .venv/bin/python -c '' 2> /dev/null && return
    check_python
    # one that was moved, or whose Python is gone, cannot be mended in place
    .venv/bin/python -m pip --version > /dev/null 2>&1 || "$PYTHON" -m venv --clear .venv
    say "installing torch $version into .venv (about 5 GB with its CUDA libraries; one to five minutes)"
    .venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/installed.txt
}

# Points .libtorch at folder $1. torch-sys does not see that such a link has moved, so what it built is removed then.
link() {
    before=$(resolve .libtorch)
    [ "$before" != "$1" ] || return 0
    [ -L .libtorch ] || [ ! -e .libtorch ] || die ".libtorch is not a link: move it away, and export LIBTORCH to use it"
    # relative where it can be, as a checkout is sometimes moved
    ln -sfn "${1#"$(pwd -P)"/}" .libtorch
    say ".libtorch -> $(readlink .libtorch) (libtorch $(version_of "$1"))"
    if [ -d "${CARGO_TARGET_DIR:-target}" ]; then
        cargo clean --quiet -p torch-sys
        cargo clean --quiet --release -p torch-sys
    fi
}

check_tools
if [ -n "${LIBTORCH:-}" ]; then
    folder=$(resolve "$LIBTORCH")
    [ -n "$folder" ] || die "LIBTORCH names $LIBTORCH, which is no folder"
    mend="export the LIBTORCH of a libtorch $version, or unset it to have one installed into .venv"
else
    make_venv
    folder=$(.venv/bin/python -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')
    folder=$(resolve "$folder")
    mend="remove .venv and run \`make setup\` again"
fi
[ -e "$folder/lib/libtorch_cpu.so" ] || die "$folder holds no lib/libtorch_cpu.so: $mend"
[ -e "$folder/include/torch/csrc/api/include/torch/torch.h" ] || die "$folder holds no C++ headers: $mend"
found=$(version_of "$folder")
case "$found" in
    "$version" | "$version"+*) ;;
    *) die "$folder holds libtorch ${found:-of an unknown version}, regraft needs $version: $mend" ;;
esac
link "$folder"
