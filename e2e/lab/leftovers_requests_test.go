package lab

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/link"
	"gwdr/fleet/process"
)

// links asks the links themselves what they do, and sends a request over each.
func (s *scene) links(ctx context.Context) error {
	infos, err := s.lab.Links().Links(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Mode != link.Pass || info.Owner != "" {
			return fmt.Errorf("link %s: %+v", info.ID, info.State)
		}
		if _, err := s.get(ctx, "http://"+info.Listen+"/.gwdr/ready", "", 0); err != nil {
			return fmt.Errorf("link %s: %w", info.ID, err)
		}
	}
	return nil
}

// requests asks the edge and every data plane, with a key that is good and with one that is revoked.
func (s *scene) requests(ctx context.Context) error {
	fronts := []string{s.lab.Edge()}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(s.instances) {
		fronts = append(fronts, in.URL)
		own, err := s.get(ctx, in.URL+"/.gwdr/ready", "", 0)
		if err != nil {
			return err
		}
		if date, err := http.ParseTime(own.Get("Date")); err != nil || time.Since(date).Abs() > 3*time.Second {
			return fmt.Errorf("%s goes by another clock: Date is %q", in.ID, own.Get("Date"))
		}
	}
	for _, front := range fronts {
		_, err := s.get(ctx, front+"/orders", s.keys["live"], http.StatusOK)
		if err == nil {
			_, err = s.get(ctx, front+"/orders", s.keys["revoked"], http.StatusUnauthorized)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// upstream asks the upstream itself.
func (s *scene) upstream(ctx context.Context) error {
	for range 5 {
		if _, err := s.get(ctx, s.lab.EchoURL()+"/orders", "", http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// configuration compares what every control plane and data plane has, and wants one leader, or all of one store.
func (s *scene) configuration(ctx context.Context) error {
	leaders, want := 0, 1
	if t := s.lab.Topology(); t.Replication == process.ReplicationSync {
		want = len(t.Regions)
	}
	for _, in := range s.instances {
		if in.Role != fleet.Control && in.Role != fleet.Data {
			continue
		}
		_, state, err := s.client(in).State(ctx)
		if err != nil {
			return fmt.Errorf("configuration of %s: %w", in.ID, err)
		}
		if digest := state.Digest(); digest != s.digest {
			return fmt.Errorf("configuration of %s is %s, not %s", in.ID, digest, s.digest)
		}
		if in.Role == fleet.Control {
			status, err := s.client(in).Brief(ctx)
			if err != nil {
				return fmt.Errorf("status of %s: %w", in.ID, err)
			}
			if status.Mode == "leader" {
				leaders++
			}
		}
	}
	if leaders != want {
		return fmt.Errorf("%d control planes lead, not %d", leaders, want)
	}
	return nil
}

// prompt is how long an answer may take, the best of some: no fault here adds less than 800 ms.
const prompt = 500 * time.Millisecond

// get makes requests on connections of their own, until one is answered promptly, and returns the headers of the answer. Status 0
// is any.
func (s *scene) get(ctx context.Context, url, key string, status int) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for range 3 {
		began := time.Now()
		resp, err := s.http.Do(req)
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		if status != 0 && resp.StatusCode != status {
			return nil, fmt.Errorf("GET %s: %s, not %d", url, resp.Status, status)
		}
		if time.Since(began) < prompt {
			return resp.Header, nil
		}
	}
	return nil, fmt.Errorf("GET %s is late", url)
}
