#!/bin/sh
# Makes rwkv_vocab_v20230424.txt from the PyPI package. Needs pip and unzip.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
pip download --quiet --no-deps rwkv==0.8.32
unzip -q rwkv-0.8.32-*.whl
tr -d '\r' < rwkv/rwkv_vocab_v20230424.txt > rwkv_vocab_v20230424.txt
echo "e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89  rwkv_vocab_v20230424.txt" |
    sha256sum -c -
mv rwkv_vocab_v20230424.txt "$here"
rm -r "$work"
