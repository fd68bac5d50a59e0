package restore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gwdr/gateway"
)

// RevocationPolicy says what becomes of keys of which nobody can tell any more whether they were revoked.
type RevocationPolicy string

// The policies.
const (
	FailClosed RevocationPolicy = "fail-closed" // those issued since are revoked; the default
	AcceptRisk RevocationPolicy = "accept-risk" // they work
)

// Doubt is what nobody can tell of keys: no source that is newer than the restored state says what was revoked since.
type Doubt struct {
	Since   time.Time        `json:"since"` // UTC: what was revoked by then is known
	Policy  RevocationPolicy `json:"policy"`
	Issued  []string         `json:"issued_since"` // ids of restored keys that were issued since then, and are not revoked otherwise; with fail-closed not those that the target has
	Working int              `json:"working_keys"` // that were issued before, and may have been revoked since
}

// doubtIn returns the doubt that remains of the keys in the wanted state, or nil. A key that the live target has just so, and
// has not revoked, is not brought back: fail-closed leaves it alone, for to revoke it cannot be undone.
func (s *Snapshot) doubtIn(live, wanted *gateway.State, policy RevocationPolicy) *Doubt {
	if s.RevokedBy.After(s.Time) {
		return nil
	}
	d := &Doubt{Since: s.RevokedBy.UTC(), Policy: policy, Issued: []string{}}
	for e := range wanted.Unordered() {
		if e.Kind != gateway.Key {
			continue
		}
		if body, there := wanted.Get(gateway.Ref{Kind: gateway.Revocation, ID: e.ID}); there && !gateway.RevokedFrom(body).After(time.Now()) {
			continue
		}
		there, kept := live.Get(e.Ref)
		kept = kept && policy != AcceptRisk && bytes.Equal(there, e.Body)
		if body, err := readKey(e.Body); err == nil && body.Created.After(d.Since) && !kept {
			d.Issued = append(d.Issued, e.ID)
		} else {
			d.Working++
		}
	}
	slices.Sort(d.Issued)
	return d
}

// readKey is gateway.DecodeKey, but passes over fields that it does not know: another version may have written them.
func readKey(body []byte) (gateway.KeyBody, error) {
	key, err := gateway.DecodeKey(body)
	if err != nil {
		key = gateway.KeyBody{}
		err = json.Unmarshal(body, &key)
	}
	return key, err
}

// close revokes the keys that were issued since, so that they are issued anew.
func (d *Doubt) close(wanted *gateway.State, now time.Time) {
	if d == nil || d.Policy == AcceptRisk {
		return
	}
	for _, id := range d.Issued {
		wanted.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: id}, Body: gateway.Encode(gateway.RevocationBody{
			At: now.UTC(), Reason: fmt.Sprintf("restored; whether it was revoked after %s is not known", d.Since.Format(time.RFC3339))})})
	}
}

// finding says what becomes of the keys that were issued since; ok is false if there are none.
func (d *Doubt) finding() (f Finding, ok bool) {
	if d == nil || len(d.Issued) == 0 {
		return f, false
	}
	since := d.Since.Format(time.RFC3339)
	if d.Policy == AcceptRisk {
		return Finding{"keys", fmt.Sprintf("%d that were issued after %s work, though nobody knows whether they were revoked, among them %s",
			len(d.Issued), since, d.Issued[0])}, true
	}
	return Finding{"keys", fmt.Sprintf("%d that were issued after %s are revoked, because nobody knows whether they were, among them %s: issue them anew",
		len(d.Issued), since, d.Issued[0])}, true
}
