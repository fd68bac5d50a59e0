package restore

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/gateway/store"
)

// large returns a gateway of 10,000 routes and 100,000 keys.
func large() []gateway.Entity {
	all := gatewaytest.Sample()
	for i := range 10_000 {
		all = append(all, entity(gateway.Route, fmt.Sprintf("route-%05d", i),
			fmt.Sprintf(`{"hosts":["api%d.example.com"],"methods":["GET","POST"],"path":"/v1/tenants/{tenant}/things-%d/{id}","upstream":"echo","auth":"key"}`, i%100, i)))
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 100_000 {
		token := gateway.NewToken()
		all = append(all, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(gateway.KeyBody{
			Consumer: "acme", Hash: token.Hash(), Scopes: []string{"read", "write"}, Created: created.Add(time.Duration(i) * time.Second)})})
	}
	return all
}

// BenchmarkRestore restores 10,000 routes and 100,000 keys from a directory into an empty gateway: one in memory, which is
// what the restore itself costs, and the bundled one, through its admin API into etcd.
func BenchmarkRestore(b *testing.B) {
	keys := backuptest.NewKeys(b)
	var copies []backup.Copy
	for _, name := range []string{"local", "nas", "offsite"} {
		location := &dir.Location{Dir: filepath.Join(b.TempDir(), name)}
		if err := location.Init(b.Context()); err != nil {
			b.Fatal(err)
		}
		copies = append(copies, backup.Copy{Name: name, Location: location})
	}
	entities := large()
	source := gatewaytest.New(entities...)
	if _, err := backup.Take(b.Context(), backup.Job{Source: source, Gateway: "test", Copies: copies, Keys: keys, Spool: b.TempDir()}); err != nil {
		b.Fatal(err)
	}
	restore := func(b *testing.B, target gateway.Target) {
		r := &Restore{Source: Source{Copies: copies, Keys: keys}, Target: target}
		p, err := r.Plan(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		res, err := r.Apply(b.Context(), p)
		if err != nil || !res.Verified || res.Created != len(entities) {
			b.Fatal(err, res)
		}
		b.ReportMetric(float64(res.Created), "entities")
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			restore(b, gatewaytest.New())
		}
	})
	b.Run("bundled", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			_, client, stop := controlPlane(b, store.Options{Dir: b.TempDir()})
			b.StartTimer()
			restore(b, client)
			b.StopTimer()
			stop()
			b.StartTimer()
		}
	})
}
