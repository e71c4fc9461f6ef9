# One command for each job; `make` lists them. Every job does the set-up it needs, and what is done is not done again.
CARGO ?= cargo
export PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
REGRAFT := $(TARGET)/release/regraft
# with a libtorch of your own there is no .venv, and your Python has to have what benches/requirements.txt asks for
BENCH_PYTHON := $(if $(LIBTORCH),$(PYTHON),.venv/bin/python)
# one profile for all, so that nothing is compiled twice
RELEASE := --release --locked

.DEFAULT_GOAL := help
.PHONY: help setup libtorch build weights demo test check fmt lint doc sizes bench gpu-check clean

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: weights ## get libtorch and the pretrained weights, and build; export LIBTORCH to use your own libtorch

libtorch:
	@tools/setup.sh

build: libtorch ## compile the program: target/release/regraft
	$(CARGO) build $(RELEASE)

weights: build
	$(REGRAFT) models fetch efficientnet_lite0

demo: setup ## watch a network that learned ImageNet learn ten kinds of clothes
	$(REGRAFT) demo

# tests run side by side: more threads than cores would only wait for each other
test: setup ## run every test
	OMP_NUM_THREADS=1 $(CARGO) test $(RELEASE)

check: fmt sizes lint doc test ## everything that has to hold before a commit

fmt:
	$(CARGO) fmt --check

sizes:
	@find build.rs */ -name target -prune -o -type f \
		\( -name '*.rs' -o -name '*.cpp' -o -name '*.h' -o -name '*.py' -o -name '*.sh' \) -exec wc -l {} + | \
	awk '$$2 != "total" && $$1 > 400 { print $$2 ": " $$1 " lines; a file is one idea, 400 at most"; bad = 1 } \
		END { exit bad }'

lint: libtorch
	$(CARGO) clippy $(RELEASE) --all-targets -- -D warnings

doc: libtorch
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(RELEASE) --no-deps

bench: setup ## compare with Python on the same work: make bench [DATA=folder/of/images] [BENCH='--compile …']
	$(if $(LIBTORCH),,$(BENCH_PYTHON) -m pip install --quiet --disable-pip-version-check -r benches/requirements.txt)
	$(REGRAFT) bench --python $(BENCH_PYTHON) $(if $(DATA),--data "$(DATA)") $(BENCH)

gpu-check: setup ## on a machine with an NVIDIA GPU: doctor, and training in every number format
	tools/gpu-check.sh $(REGRAFT)

clean: ## remove what was built; .venv and .libtorch stay
	$(CARGO) clean
