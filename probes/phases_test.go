package probes

import (
	"testing"
	"time"
)

func TestPhasesAreOfGoodAttemptsThatHadThem(t *testing.T) {
	var samples []Sample
	for i := range 100 {
		s := Sample{Due: time.Duration(i) * ms, Class: OK, FirstByte: time.Duration(i+1) * ms}
		if i == 0 {
			s.DNS, s.Connect, s.Handshake = ms, 2*ms, 3*ms
		}
		samples = append(samples, s)
	}
	samples = append(samples, Sample{Due: 50 * ms, Class: FailStatus, FirstByte: time.Minute}, Sample{Due: time.Second, Class: OK, DNS: time.Minute})
	p := PhasesOf(samples, 0, time.Second)
	if p.DNS.Count != 1 || p.Connect.Count != 1 || p.Handshake.Count != 1 || p.FirstByte.Count != 100 {
		t.Errorf("%+v, want one connection and 100 first bytes", p)
	}
	near := func(got, want time.Duration) bool { return got > want-want/100 && got < want+want/100 }
	if !near(p.Connect.P50, 2*ms) || !near(p.Handshake.P99, 3*ms) || !near(p.FirstByte.P50, 50*ms) || !near(p.FirstByte.P99, 99*ms) {
		t.Errorf("%+v", p)
	}
	if p := PhasesOf(samples, time.Hour, 2*time.Hour); p != (Phases{}) {
		t.Errorf("%+v of no attempt", p)
	}
}
