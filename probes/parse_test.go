package probes

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatIsRecordedIsParsed wants the quick way to be taken for every kind of sample that has no TLS and no strange text.
func TestWhatIsRecordedIsParsed(t *testing.T) {
	for _, s := range []Sample{
		{},
		{Series: "keepalive", Seq: 1, Due: 2, Sent: -3, Done: 4, Class: OK, Status: 200, Reused: true, FirstByte: 5},
		{Series: "eu: fresh", Seq: 1 << 50, Due: forever / 10, Class: FailTLS, Instance: "a", Region: "b", Error: "x: y", DNS: 1, Connect: 2, Handshake: 3},
	} {
		var got Sample
		if line := mustJSON(s); !(interned{}).parse(line, &got) || got != s {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// FuzzParse wants every line that is parsed to be what encoding/json reads.
func FuzzParse(f *testing.F) {
	for _, line := range []string{
		`{"series":"a","seq":1,"due_ns":2,"sent_ns":3,"done_ns":4,"class":"ok","status":200,"reused":true,"first_byte_ns":9}`,
		`{"series":"a","seq":-1,"due_ns":-0,"sent_ns":007,"done_ns":4,"class":"ok","instance":"i","region":"r","error":"\\u0041"}`,
		`{"series":"a","seq":999999999999999999,"due_ns":9223372036854775807,"sent_ns":3,"done_ns":4,"class":"fail:dns","dns_ns":1,"connect_ns":2,"tls_ns":3}`,
		`{"series":"a","seq":1,"due_ns":2,"sent_ns":3,"done_ns":4,"class":"ok","tls":{"version":"TLS 1.3"}}`,
		`{"series":"a","seq":1,"due_ns":2,"sent_ns":3,"done_ns":4,"class":"ok"} `,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var got, want Sample
		if !(interned{}).parse(line, &got) {
			return
		}
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}
