package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/s3"
	fleetlink "gwdr/fleet/link"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/restore"
)

// BenchmarkRestoreS3 reads the newest state from three buckets over links of their own, as a restore does before it changes
// anything: all links well; one or all with 150 ms each way, and thereby no more than 7 MB/s a connection; one that swallows
// everything; and one whose other end takes no connections. Where the bad one stands in the configuration should not matter.
// The server is in this process and takes its share of the machine.
func BenchmarkRestoreS3(b *testing.B) {
	o := newOffsites(b)
	slow := fleetlink.State{Mode: fleetlink.Latency, Delay: 150 * time.Millisecond, Lease: time.Hour}
	dead := fleetlink.State{Mode: fleetlink.Blackhole, Lease: time.Hour}
	b.Run("well", func(b *testing.B) { o.read(b, o.copies) })
	for place, name := range []string{"first", "second", "last"} {
		b.Run("slow/"+name, func(b *testing.B) { o.readWith(b, slow, place) })
		b.Run("swallows/"+name, func(b *testing.B) { o.readWith(b, dead, place) })
		b.Run("deaf/"+name, func(b *testing.B) {
			copies := slices.Clone(o.copies)
			copies[place].Location = openAt(b, o.buckets[place], fullQueue(b))
			o.read(b, copies)
		})
	}
	b.Run("slow/all", func(b *testing.B) { o.readWith(b, slow, 0, 1, 2) })
}

// offsites are three buckets that hold a point, each behind a link.
type offsites struct {
	copies  []backup.Copy
	buckets []string
	links   []*fleetlink.Link
	keys    backup.Keys
}

func newOffsites(b *testing.B) *offsites {
	o := &offsites{keys: backuptest.NewKeys(b)}
	for i := range 3 {
		link, err := fleetlink.Listen(fleetlink.Spec{ID: fmt.Sprint(i), Listen: "127.0.0.1:0", To: shared.link(b).address}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { link.Close() })
		o.links, o.buckets = append(o.links, link), append(o.buckets, shared.bucket(b, false))
		name := fmt.Sprint("offsite-", i)
		o.copies = append(o.copies, backup.Copy{Name: name, Media: "object", Site: name, Location: openAt(b, o.buckets[i], link.Addr())})
	}
	job := backup.Job{Source: gatewaytest.New(incompressible()...), Gateway: "bench", Copies: o.copies, Keys: o.keys, Spool: filepath.Join(b.TempDir(), "spool"), Tool: "bench"}
	if r, err := backup.Take(b.Context(), job); err != nil || r.Stored() != 3 {
		b.Fatalf("backup: %+v, %v", r, err)
	}
	return o
}

// incompressible is 32 MB of documents and 100,000 keys.
func incompressible() (all []gateway.Entity) {
	add := func(kind gateway.Kind, id string, body []byte) {
		all = append(all, gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: body})
	}
	for i := range 64 {
		noise := make([]byte, 256<<10)
		rand.Read(noise)
		add(gateway.Spec, fmt.Sprintf("spec-%02d", i), fmt.Appendf(nil, `{"openapi":"3.0.3","info":{"title":%q}}`, hex.EncodeToString(noise)))
	}
	for range 100_000 {
		token := gateway.NewToken()
		add(gateway.Key, token.ID, gateway.Encode(gateway.KeyBody{Hash: token.Hash()}))
	}
	return all
}

// openAt opens a bucket of the server at another address.
func openAt(b *testing.B, bucket, address string) *s3.Location {
	options, err := s3.ParseURL("s3://" + bucket + "?endpoint=http://" + address + "&region=" + region)
	if err != nil {
		b.Fatal(err)
	}
	options.Credentials = shared.credentials()
	return openOptions(b, options)
}

// readWith reads while the links at the places are in the state.
func (o *offsites) readWith(b *testing.B, state fleetlink.State, places ...int) {
	for _, i := range places {
		if err := o.links[i].Set(state); err != nil {
			b.Fatal(err)
		}
		defer o.links[i].Set(fleetlink.State{Mode: fleetlink.Pass})
	}
	o.read(b, o.copies)
}

func (o *offsites) read(b *testing.B, copies []backup.Copy) {
	figures := map[string][]float64{}
	for b.Loop() {
		source := restore.Source{Copies: copies, Keys: o.keys}
		begun := time.Now()
		s, err := source.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		figures["s/read"] = append(figures["s/read"], time.Since(begun).Seconds())
		for _, p := range s.Phases() {
			figures["s/"+p.Name] = append(figures["s/"+p.Name], p.Seconds)
		}
	}
	for name, values := range figures {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
}

// fullQueue returns an address whose queue of connections is full: the kernel answers no more of them.
func fullQueue(b *testing.B) (address string) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		b.Cleanup(func() { syscall.Close(socket) })
		err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(socket, 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		b.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
	for {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		b.Cleanup(func() { conn.Close() })
	}
}
