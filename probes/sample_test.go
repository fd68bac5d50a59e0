package probes

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// firstSample is a sample as the first readers know it.
type firstSample struct {
	Series   string        `json:"series"`
	Seq      int64         `json:"seq"`
	Due      time.Duration `json:"due_ns"`
	Sent     time.Duration `json:"sent_ns"`
	Done     time.Duration `json:"done_ns"`
	Class    Class         `json:"class"`
	Status   int           `json:"status,omitempty"`
	Instance string        `json:"instance,omitempty"`
	Region   string        `json:"region,omitempty"`
	Reused   bool          `json:"reused,omitempty"`
	Error    string        `json:"error,omitempty"`
}

func TestSamplesStayReadable(t *testing.T) {
	first := firstSample{"orders", 7, 1, 2, 3, FailStatus, 503, "a", "b", true, "status is 503"}
	now := Sample{
		Series: "orders", Seq: 7, Due: 1, Sent: 2, Done: 3, Class: FailStatus, Status: 503, Instance: "a", Region: "b", Reused: true,
		Error: "status is 503",
	}
	if diff := cmp.Diff(string(mustJSON(first)), string(mustJSON(now))); diff != "" {
		t.Errorf("a sample without phases is another line than before: %s", diff)
	}
	var read Sample
	if err := json.Unmarshal(mustJSON(first), &read); err != nil || read != now {
		t.Errorf("%+v (%v), want %+v", read, err, now)
	}
	now.DNS, now.Connect, now.Handshake, now.FirstByte = 4, 5, 6, 7
	now.TLS = &TLS{Version: "TLS 1.3", NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Problem: Expired}
	var old firstSample
	if err := json.Unmarshal(mustJSON(now), &old); err != nil || old != first {
		t.Errorf("an older reader reads %+v (%v), want %+v", old, err, first)
	}
	want := `{"series":"orders","seq":7,"due_ns":1,"sent_ns":2,"done_ns":3,"class":"fail:status","status":503,"instance":"a","region":"b",` +
		`"reused":true,"error":"status is 503","dns_ns":4,"connect_ns":5,"tls_ns":6,"first_byte_ns":7,` +
		`"tls":{"version":"TLS 1.3","not_after":"2027-01-01T00:00:00Z","problem":"expired"}}`
	if diff := cmp.Diff(want, string(mustJSON(now))); diff != "" {
		t.Error(diff)
	}
}
