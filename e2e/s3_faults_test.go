package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/s3"
)

// impatient are options under which faults show soon.
func impatient(t *testing.T, bucket, lock string, p *faultProxy) s3.Options {
	t.Helper()
	options := shared.options(t, bucket, lock)
	options.PartSize, options.Attempts = partSize, 3
	options.Backoff, options.Idle = 2*time.Millisecond, 250*time.Millisecond
	options.DialContext = p.dial
	return options
}

// soon bounds what a fault may cost in these tests.
const soon = 8 * time.Second

// outcome is what an operation under a fault must come to.
type outcome struct {
	ok   bool
	says string // part of the error's text
}

var fine = outcome{ok: true}

func fails(says string) outcome { return outcome{says: says} }

// faultCase is a fault, and what becomes under it of a small put, one in parts, a get and a list.
type faultCase struct {
	fault
	small, parts, get, list outcome
	orphans                 bool // parts of an upload that nobody knows of, or nobody could end, may be left
}

// faultTable: what happens once is forgiven, and so is whatever leaves the object there.
func faultTable() []faultCase {
	return []faultCase{
		{fault{name: "500 once", times: 1, do: says(500, "InternalError")}, fine, fine, fine, fine, false},
		{fault{name: "500 always", do: says(500, "InternalError")}, fails("500 "), fails("500 "), fails("500 InternalError"), fails("500 InternalError"), true},
		{fault{name: "500 to writes", on: isWrite, do: says(500, "InternalError")}, fails("500 InternalError"), fails("500 InternalError"), fine, fine, false},
		{fault{name: "503 once", times: 1, do: says(503, "SlowDown")}, fine, fine, fine, fine, false},
		{fault{name: "503 always", do: says(503, "SlowDown")}, fails("503 "), fails("503 "), fails("503 SlowDown"), fails("503 SlowDown"), true},
		{fault{name: "503 to parts", on: isPart, do: says(503, "SlowDown")}, fine, fails("of 2: the server answered 503 SlowDown"), fine, fine, false},
		{fault{name: "hang once", times: 1, do: hang}, fine, fine, fine, fine, false},
		{fault{name: "hang always", do: hang}, fails("nothing moved"), fails("nothing moved"), fails("nothing moved"), fails("nothing moved"), true},
		{fault{name: "stall in the request once", on: isWrite, times: 1, do: stall}, fine, fine, fine, fine, false},
		{fault{name: "stall in the parts", on: isPart, do: stall}, fine, fails("nothing moved"), fine, fine, false},
		{fault{name: "cut in the request once", on: isWrite, times: 1, do: cutRequest}, fine, fine, fine, fine, false},
		{fault{name: "cut in the request", on: isWrite, do: cutRequest}, fails("no answer"), fails("no answer"), fine, fine, false},
		{fault{name: "cut in the answer once", on: isGet, times: 1, do: cutAnswer}, fine, fine, fine, fine, false},
		{fault{name: "cut in the answer", on: isGet, do: cutAnswer}, fine, fine, fails("read s3://"), fine, false},
		{fault{name: "cut in the list once", on: isList, times: 1, do: cutAnswer}, fine, fine, fine, fine, false},
		{fault{name: "cut in the list", on: isList, do: cutAnswer}, fine, fine, fine, fails("list s3://"), false},
		{fault{name: "stall in the answer once", on: isGet, times: 1, do: stallAnswer}, fine, fine, fine, fine, false},
		{fault{name: "stall in the answer", on: isGet, do: stallAnswer}, fine, fine, fails("nothing moved"), fine, false},
		{fault{name: "answer lost once", on: isBeginOrPut, times: 1, do: loseAnswer}, fine, fine, fine, fine, true},
		{fault{name: "answers lost", on: isObject, do: loseAnswer}, fine, fine, fine, fine, false},
		{fault{name: "answer lost, then 412", on: isObject, do: loseThenLie}, fine, fine, fine, fine, false},
		{fault{name: "done, and 500", on: isObject, do: doThenFail}, fine, fine, fine, fine, false},
		{fault{name: "200 with an error inside", on: isComplete, do: failInside}, fine, fails("InternalError"), fine, fine, false},
		{fault{name: "done without proof", on: isComplete, do: doneWithoutProof}, fine, fine, fine, fine, false},
		{fault{name: "done, in truth not", on: isComplete, do: doneInTruthNot}, fine, fails("without its checksum"), fine, fine, false},
		{fault{name: "409 three times", on: isObject, times: 3, do: says(409, "ConditionalRequestConflict")}, fine, fine, fine, fine, false},
		{fault{name: "409 always", on: isObject, do: says(409, "ConditionalRequestConflict")}, fails("409 ConditionalRequestConflict"), fails("409 ConditionalRequestConflict"), fine, fine, false},
		{fault{name: "412 that is not true", on: isObject, do: says(412, "PreconditionFailed")}, fails("412 PreconditionFailed"), fails("412 PreconditionFailed"), fine, fine, false},
		{fault{name: "the upload is gone once", on: isComplete, times: 1, do: says(404, "NoSuchUpload")}, fine, fine, fine, fine, false},
		{fault{name: "conditions ignored", on: isObject, do: ignoreCondition}, fine, fine, fine, fine, false},
		{fault{name: "access denied", on: isWrite, do: says(403, "AccessDenied")}, fails("the store does not allow this"), fails("the store does not allow this"), fine, fine, false},
		{fault{name: "token expired", do: says(400, "ExpiredToken")}, fails("does not accept the credentials"), fails("does not accept the credentials"), fails("does not accept the credentials"), fails("does not accept the credentials"), false},
		{fault{name: "wrong clock", do: says(403, "RequestTimeTooSkewed")}, fails("clock"), fails("clock"), fails("clock"), fails("clock"), false},
	}
}

// isBeginOrPut tells what makes a small object, and begins an upload in parts.
func isBeginOrPut(r *http.Request) bool { return isWrite(r) && !r.URL.Query().Has("uploadId") }

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// TestFaults: under every fault an operation is done, or says in bounded time what was wrong and where. Nothing is there
// twice, nothing that was put is lost, and once the fault is over the same put succeeds.
func TestFaults(t *testing.T) {
	for _, lock := range []string{"", "governance/1h"} {
		t.Run("lock "+lock, func(t *testing.T) { t.Parallel(); faults(t, lock) })
	}
}

func faults(t *testing.T, lock string) {
	p, bucket := newFaultProxy(t), shared.bucket(t, lock != "")
	h := &faultHouse{
		proxy: p, bucket: bucket, old: content(4, partSize+1000),
		direct: openOptions(t, shared.options(t, bucket, lock)), location: openOptions(t, impatient(t, bucket, lock, p)),
	}
	if err := putBytes(t, h.direct, "gwdr1/old", h.old); err != nil {
		t.Fatal(err)
	}
	for i, c := range faultTable() {
		if lock != "" && c.name == "cut in the list" { // a list tells which version counts
			c.small, c.parts, c.get = fails("broke off"), fails("broke off"), fails("broke off")
		}
		t.Run(c.name, func(t *testing.T) { h.test(t, fmt.Sprintf("gwdr1/%d", i), c) })
	}
}

// faultHouse is a bucket, seen directly and through the proxy.
type faultHouse struct {
	proxy            *faultProxy
	bucket           string
	direct, location *s3.Location
	old              []byte // an object from before the faults
}

func (h *faultHouse) test(t *testing.T, name string, c faultCase) {
	small, large := content(3, 1000), content(5, partSize+1000)
	underFault(t, h.proxy, c.fault, "put", c.small, func() error { return putBytes(t, h.location, name+"/small", small) })
	underFault(t, h.proxy, c.fault, "put in parts", c.parts, func() error { return putBytes(t, h.location, name+"/large", large) })
	underFault(t, h.proxy, c.fault, "get", c.get, func() error { return readAll(t, h.location, "gwdr1/old", h.old) })
	underFault(t, h.proxy, c.fault, "list", c.list, func() error { return listed(t, h.location, "gwdr1/old") })
	for name, body := range map[string][]byte{name + "/small": small, name + "/large": large} {
		if err := putBytes(t, h.location, name, body); err != nil {
			t.Errorf("put %s after the fault: %v", name, err)
		}
		wantBytes(t, h.direct, name, body)
		wantOneVersion(t, h.bucket, name)
	}
	wantOneVersion(t, h.bucket, "gwdr1/old")
	if !c.orphans {
		wantNoParts(t, h.bucket)
	}
	dropParts(t, h.bucket)
}

func underFault(t *testing.T, p *faultProxy, f fault, what string, want outcome, do func() error) {
	t.Helper()
	p.set(f)
	defer p.set(fault{})
	started := time.Now()
	err := do()
	if took := time.Since(started); took > soon {
		t.Errorf("%s took %s", what, took)
	}
	switch {
	case want.ok && err != nil:
		t.Errorf("%s: %v", what, err)
	case !want.ok && (err == nil || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "s3://bucket-")):
		t.Errorf("%s = %v; want an error that says %q and where", what, err, want.says)
	case !want.ok && (errors.Is(err, backup.ErrExists) || errors.Is(err, backup.ErrNotExist)):
		t.Errorf("%s = %v, which claims to know what is there", what, err)
	}
}

func readAll(t *testing.T, l *s3.Location, name string, want []byte) error {
	r, err := l.Get(t.Context(), name)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, want) {
		t.Errorf("%s came back with other bytes and without an error", name)
	}
	return err
}

func listed(t *testing.T, l *s3.Location, name string) error {
	objects, err := l.List(t.Context(), name)
	if err == nil && len(objects) != 1 {
		t.Errorf("list shows %d objects, without an error", len(objects))
	}
	return err
}
