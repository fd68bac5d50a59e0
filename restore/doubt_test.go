package restore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

func keyIssued(id string, at time.Time) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: id}, Body: gateway.Encode(gateway.KeyBody{Hash: "00", Created: at})}
}

// TestDoubt: a key that was issued after the last moment of which all revocations are known does not work, unless somebody
// takes the risk; a source that is newer ends the doubt.
func TestDoubt(t *testing.T) {
	point := time.Now().Add(-time.Hour)
	live := &gateway.Export{State: gateway.NewState()}
	soon := gateway.RevocationBody{Effective: new(time.Now().Add(time.Hour))} // which says nothing of now
	old, late := keyIssued("0123456789abcdef", point.Add(-time.Hour)), keyIssued("fedcba9876543210", point.Add(time.Minute))
	state := gateway.NewState(old, late, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: late.ID}, Body: gateway.Encode(soon)})
	for name, c := range map[string]struct {
		by     time.Time
		policy RevocationPolicy
		doubt  bool
		dead   bool
	}{
		"nothing is newer":     {point, "", true, true},
		"somebody takes risks": {point, AcceptRisk, true, false},
		"a witness is newer":   {point.Add(time.Second), "", false, false},
	} {
		r := &Restore{Doubtful: c.policy}
		p := r.compare(live, &Snapshot{State: state, Time: point, RevokedBy: c.by})
		end, _ := p.Wanted.Get(gateway.Ref{Kind: gateway.Revocation, ID: late.ID})
		dead := gateway.RevokedFrom(end).IsZero()
		_, other := p.Wanted.Get(gateway.Ref{Kind: gateway.Revocation, ID: old.ID})
		if (p.Doubt != nil) != c.doubt || dead != c.dead || other || (len(p.Findings) > 0) != c.doubt {
			t.Errorf("%s: doubt %+v, revoked %v, findings %v", name, p.Doubt, dead, p.Findings)
		}
		if c.doubt && (len(p.Doubt.Issued) != 1 || p.Doubt.Issued[0] != late.ID || p.Doubt.Working != 1) {
			t.Errorf("%s: doubt %+v", name, p.Doubt)
		}
	}
}

// TestDoubtOfLiveKeys: a key that lives in the gateway and stays there is not revoked because the backups do not know it yet;
// one that is brought back is.
func TestDoubtOfLiveKeys(t *testing.T) {
	point := time.Now().Add(-time.Hour)
	issued, lost := keyIssued("0123456789abcdef", point.Add(time.Minute)), keyIssued("fedcba9876543210", point.Add(time.Minute))
	live := &gateway.Export{State: gateway.NewState(issued)}
	r := &Restore{NoDelete: true}
	p := r.compare(live, &Snapshot{State: gateway.NewState(lost), Time: point, RevokedBy: point})
	if len(p.Doubt.Issued) != 1 || p.Doubt.Issued[0] != lost.ID {
		t.Errorf("in doubt are %v; want %s", p.Doubt.Issued, lost.ID)
	}
	if _, revoked := p.Wanted.Get(gateway.Ref{Kind: gateway.Revocation, ID: issued.ID}); revoked {
		t.Error("a key that lives in the gateway would be revoked")
	}
	other := keyIssued(issued.ID, point.Add(2*time.Minute))
	if p = r.compare(live, &Snapshot{State: gateway.NewState(other), Time: point, RevokedBy: point}); len(p.Doubt.Issued) != 1 {
		t.Errorf("a key that the restore changes is not in doubt: %+v", p.Doubt)
	}
}

// TestDoubtInGap: what was revoked in a gap of the log is not known, whatever comes after it; a whole newer list of
// revocations makes up for it.
func TestDoubtInGap(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		_, times := w.history()
		lost := w.segments()[3]
		for _, m := range w.memories {
			m.Set(lost, nil)
		}
		w.gateway.Wipe()
		w.restore.AllowGap = true
		p, err := w.restore.Plan(t.Context())
		if err != nil || p.Doubt == nil || !p.Doubt.Since.Equal(times[2]) {
			t.Errorf("doubt %+v since %v, %v; want since %v", p.Doubt, p.Time, err, times[2])
		}
		time.Sleep(time.Second)
		w.restore.Witnesses = []RevocationSource{gatewaytest.New()}
		if p, err = w.restore.Plan(t.Context()); err != nil || p.Doubt != nil {
			t.Errorf("with a witness: doubt %+v, %v", p.Doubt, err)
		}
	})
}

// TestLastGood: what a dead data plane left on its disk tells what it knew, and when.
func TestLastGood(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "last-good.ndjson")
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	revoked := backuptest.Entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-02-03T04:05:06Z"}`)
	var b bytes.Buffer
	if err := gateway.WriteStream(&b, gateway.Header{Store: "s", Revision: 4, Time: at}, gateway.NewState(revoked)); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{file, file + ".previous"} {
		if err := os.WriteFile(where, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range []LastGood{LastGood(dir), LastGood(file)} {
			known, by, err := l.Revocations(t.Context())
			if err != nil || !by.Equal(at) || len(known) != 1 || known[0].ID != revoked.ID {
				t.Errorf("%s: %v by %v, %v", l, known, by, err)
			}
		}
		if err := os.WriteFile(file, b.Bytes()[:b.Len()/2], 0o600); err != nil { // the one before counts from here on
			t.Fatal(err)
		}
	}
	if _, _, err := LastGood(t.TempDir()).Revocations(t.Context()); err == nil {
		t.Error("an empty directory tells something")
	}
}
