#!/bin/sh
# Opens one gwdr snapshot with ssh-keygen, age, zstd and tar. See README.txt.
set -eu
if [ $# -ne 4 ]; then
	echo "usage: sh restore.sh POINT.tar IDENTITY ALLOWED_SIGNERS FOLDER" >&2
	echo "checks the point's signature and its packs, and writes the entities to FOLDER/<kind>/<id>.json" >&2
	exit 2
fi
point=$1 identity=$2 signers=$3 folder=$4
base=$(cd "$(dirname "$point")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar -xf "$point" -C "$work" point.json point.json.sig
set --
if grep -q 'valid-' "$signers"; then # a key counts for what it signed in its time
	when=$(sed -n 's/^  "consistency_time": "\(....\)-\(..\)-\(..\)T\(..\):\(..\):\(..\).*Z",*$/\1\2\3\4\5\6Z/p' "$work/point.json")
	set -- -O "verify-time=$when"
fi
signer=$(ssh-keygen -Y find-principals "$@" -f "$signers" -s "$work/point.json.sig" | head -n 1 | cut -d , -f 1)
ssh-keygen -Y verify "$@" -f "$signers" -I "$signer" -n gwdr-point-v1 -s "$work/point.json.sig" <"$work/point.json"

mkdir -p "$folder"
for sum in $(sed -n 's/^ *"sha256": "\([0-9a-f]*\)",*$/\1/p' "$work/point.json"); do
	aa=$(printf %.2s "$sum")
	pack=$base/packs/$aa/$sum.tar.zst.age
	found=$(sha256sum "$pack" | cut -d ' ' -f 1)
	if [ "$found" != "$sum" ]; then
		echo "restore.sh: $pack is damaged: try another location" >&2
		exit 8
	fi
	age -d -i "$identity" "$pack" >"$work/pack"
	zstd -dcq <"$work/pack" | tar -x -C "$folder"
done
