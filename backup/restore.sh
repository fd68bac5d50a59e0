#!/bin/sh
# Opens one gwdr snapshot with ssh-keygen, age, zstd, tar and jq. See README.txt.
set -eu
umask 077 # keys and certificates are nobody else's
if [ $# -lt 4 ] || [ "${5-newest}" != newest ]; then
	echo "usage: sh restore.sh POINT.tar IDENTITY ALLOWED_SIGNERS FOLDER [newest]" >&2
	echo "checks the point's signature, its packs and its part of the log, and writes the entities to FOLDER/<kind>/<id>.json;" >&2
	echo "names that are too long for a file are cut: FOLDER/long-names.txt says which they are;" >&2
	echo "with newest it goes on from there with the log, to its end" >&2
	exit 2
fi
point=$1 identity=$2 signers=$3 folder=$4 on=${5-}
if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
	echo "restore.sh: $folder is not empty: name a new folder, so that nothing is mixed" >&2
	exit 2
fi
base=$(cd "$(dirname "$point")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

fail() {
	echo "restore.sh: $1: try another location" >&2
	exit 8
}

# unseal SHA256 FILE: the hash must be right; what is in it goes to $work/open, still compressed.
unseal() {
	cp "$2" "$work/sealed" || fail "$2 cannot be read" # what is hashed is what is opened, whoever writes there meanwhile
	[ "$(sha256sum <"$work/sealed" | cut -d ' ' -f 1)" = "$1" ] || fail "$2 is damaged"
	age -d -i "$identity" "$work/sealed" >"$work/open" || exit 8
}

# place NAME: $file is where the entity goes in the folder. File systems take names of 255 bytes: of a longer one there is the
# beginning, and the hash of all of it. No name that is whole has a comma.
place() {
	file=$1 entry=${1#*/}
	[ ${#entry} -gt 255 ] || return 0
	file=${1%%/*}/$(printf %.150s "$entry"),$(printf %s "$1" | sha256sum | cut -d ' ' -f 1).json
	echo "$file $1" >>"$work/cut"
}

# unpack TAR: its entities.
unpack() {
	tar -tf "$1" | awk 'length(substr($0, index($0, "/") + 1)) > 255' >"$work/long"
	tar -xf "$1" -C "$folder" -X "$work/long"
	while read -r name; do
		place "$name"
		mkdir -p "$folder/${file%/*}"
		tar -xOf "$1" "$name" >"$folder/$file"
	done <"$work/long"
}

# change OP NAME BODY: one change of the log; BODY is base64.
change() {
	case $2 in
	..* | */../* | /*) fail "$2 is not the name of an entity" ;;
	esac
	place "$2"
	mkdir -p "$folder/${file%/*}"
	if [ "$1" = delete ]; then
		rm -f "$folder/$file"
	else
		printf %s "$3" | base64 -d >"$folder/$file"
	fi
}

# signed NAMESPACE FILE: FILE.sig is the signature of a trusted signer.
signed() {
	namespace=$1 file=$2
	set --
	if grep -q 'valid-' "$signers"; then # a key counts for what it signed in its time
		when=$(sed -n 's/^  "consistency_time": "\(....\)-\(..\)-\(..\)T\(..\):\(..\):\(..\).*Z",*$/\1\2\3\4\5\6Z/p' "$file")
		set -- -O "verify-time=$when"
	fi
	signer=$(ssh-keygen -Y find-principals "$@" -f "$signers" -s "$file.sig" | head -n 1 | cut -d , -f 1)
	[ -n "$signer" ] && ssh-keygen -Y verify "$@" -f "$signers" -I "$signer" -n "$namespace" -s "$file.sig" <"$file"
}

# extract SEGMENT FOLDER: its members, which must be plain files.
extract() {
	tar -xf "$1" -C "$2" seg.json seg.json.sig || return 1
	tar -xf "$1" -C "$2" seg.jsonl.zst.age 2>/dev/null || : # where something has changed
	[ -z "$(find "$2" -mindepth 1 ! -type f)" ]
}

# replay SEQ: the changes of the segment in $work/SEQ.
replay() {
	sum=$(jq -r '.payload.sha256 // empty' "$work/$1/seg.json")
	[ -n "$sum" ] || return 0
	unseal "$sum" "$work/$1/seg.jsonl.zst.age"
	zstd -dcq <"$work/open" >"$work/lines" || fail "segment $1 cannot be unpacked"
	jq -r '[.op, .name, if .text then .text | @base64 else .base64 // "" end] | @tsv' "$work/lines" >"$work/changes" || fail "segment $1 cannot be read"
	[ "$(wc -l <"$work/changes")" = "$(jq .count "$work/$1/seg.json")" ] || fail "segment $1 is not whole"
	while read -r op name body; do change "$op" "$name" "$body"; done <"$work/changes"
}

tar -xf "$point" -C "$work" point.json point.json.sig || fail "$point is damaged"
signed gwdr-point-v1 "$work/point.json" || fail "$point is not signed by anybody in $signers"

# The log, from the newest segment back to the packs: the point pins the newest, and each the one before it.
seq=$(jq .log.seq "$work/point.json")
from=$(jq .base.seq "$work/point.json")
sum=$(jq -r .log.sha256 "$work/point.json")
segments=
while [ "$seq" -gt "$from" ]; do
	segment=$base/log/$(printf %016x "$seq").tar
	mkdir "$work/$seq"
	extract "$segment" "$work/$seq" || fail "$segment is damaged"
	[ "$(sha256sum <"$work/$seq/seg.json" | cut -d ' ' -f 1)" = "$sum" ] || fail "$segment is damaged"
	[ "$(jq .gap "$work/$seq/seg.json")" != true ] || fail "$segment says that changes are missing"
	segments="$seq $segments"
	sum=$(jq -r .previous "$work/$seq/seg.json")
	seq=$((seq - 1))
done

mkdir -p "$folder"
chmod go= "$folder"
for sum in $(jq -r '.packs[].sha256' "$work/point.json"); do
	unseal "$sum" "$base/packs/$(printf %.2s "$sum")/$sum.tar.zst.age"
	zstd -dcq <"$work/open" >"$work/pack.tar" || fail "pack $sum cannot be unpacked"
	unpack "$work/pack.tar"
	chmod -R go= "$folder" # root's tar does not heed the umask
done
for seq in $segments; do replay "$seq"; done

# The log after the point: each segment names the one before it, and its signer.
seq=$(jq .log.seq "$work/point.json")
last=$(jq -r .log.sha256 "$work/point.json")
while segment=$base/log/$(printf %016x $((seq + 1))).tar && [ -e "$segment" ]; do
	if [ -z "$on" ]; then
		echo "restore.sh: the log goes on after the point: add 'newest' to follow it" >&2
		break
	fi
	seq=$((seq + 1))
	mkdir -p "$work/$seq"
	extract "$segment" "$work/$seq" && signed gwdr-seg-v1 "$work/$seq/seg.json" >/dev/null &&
		[ "$(jq -r .previous "$work/$seq/seg.json")" = "$last" ] || fail "$segment is damaged, or another writer's; what is in $folder is the state before it"
	[ "$(jq .gap "$work/$seq/seg.json")" != true ] || fail "$segment says that changes are missing; what is in $folder is the state before it"
	replay "$seq"
	last=$(sha256sum <"$work/$seq/seg.json" | cut -d ' ' -f 1)
done
[ ! -e "$work/cut" ] || sort -u "$work/cut" | while read -r file name; do
	[ ! -e "$folder/$file" ] || echo "$file $name"
done >"$folder/long-names.txt"
echo "restored $(find "$folder" -name '*.json' -type f | wc -l) entities of ${point##*/} to $folder"
