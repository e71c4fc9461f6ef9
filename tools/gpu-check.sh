#!/usr/bin/env bash
# What only a machine with an NVIDIA GPU can show: doctor finds it, training runs in every number format, a run goes on
# after a stop. Takes the program as its argument, so that one that was built elsewhere can be tried.
set -euo pipefail
cd "$(dirname "$0")/.."
regraft=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$regraft" doctor --device cuda
for precision in fp32 bf16 fp16; do
    "$regraft" finetune --data data/fashion-mnist --shots 10 --epochs 2 --image-size 96 --device cuda \
        --precision "$precision" --out "$out/$precision"
    "$regraft" evaluate --model "$out/$precision" --data data/fashion-mnist --device cuda --json > "$out/$precision.json"
done
"$regraft" finetune --data data/fashion-mnist --shots 10 --epochs 1 --image-size 96 --device cuda --out "$out/head" \
    --freeze all --no-augment --head prototype --ema 0.9 --clip-grad 1
echo "CUDA works"
