package backuptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/backup/tree"
	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// Memory is a Location in memory that can be made to fail. The zero value is ready. It is safe for concurrent use.
type Memory struct {
	Host  string           // fault domain; empty: one of its own
	Clock func() time.Time // when an object is stored, as List tells; nil: always the same time

	mu      sync.Mutex
	objects map[string][]byte
	created map[string]time.Time
	fault   func(ctx context.Context, op, name string) error
}

var (
	_ backup.Location    = (*Memory)(nil)
	_ backup.Prober      = (*Memory)(nil)
	_ backup.Remover     = (*Memory)(nil)
	_ backup.Quarantiner = (*Memory)(nil)
)

// Break makes every later operation (put, get, list, probe, remove, quarantine) ask fault first, and fail with its error. nil heals the location.
func (m *Memory) Break(fault func(ctx context.Context, op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Hang is a fault: a location that never answers, and does not even notice that nobody waits any more.
func Hang(context.Context, string, string) error { select {} }

// Dead is a fault: a location that refuses everything.
func Dead(_ context.Context, op, _ string) error { return fmt.Errorf("%s: connection refused", op) }

func (m *Memory) ask(ctx context.Context, op, name string) error {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if fault == nil {
		return nil
	}
	return fault(ctx, op, name)
}

// Put stores the object.
func (m *Memory) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := backup.CheckName(name); err != nil {
		return err
	}
	if err := m.ask(ctx, "put", name); err != nil {
		return err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(content)) != size {
		return fmt.Errorf("put %s: body has %d bytes, not %d", name, len(content), size)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.objects[name]; ok && !bytes.Equal(old, content) {
		return fmt.Errorf("put %s: %w", name, backup.ErrExists)
	}
	if _, ok := m.objects[name]; !ok {
		m.set(name, content)
	}
	return nil
}

// Get opens the object.
func (m *Memory) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := errors.Join(backup.CheckName(name), m.ask(ctx, "get", name)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", name, backup.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// List returns the objects.
func (m *Memory) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	if err := m.ask(ctx, "list", prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var objects []backup.Object
	for name, content := range m.objects {
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, ".") {
			objects = append(objects, backup.Object{Name: name, Size: int64(len(content)), Created: m.created[name]})
		}
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return strings.Compare(a.Name, b.Name) })
	return objects, nil
}

// Remove deletes the object.
func (m *Memory) Remove(ctx context.Context, name string) error {
	if err := errors.Join(backup.CheckName(name), m.ask(ctx, "remove", name)); err != nil {
		return err
	}
	m.Set(name, nil)
	return nil
}

// Quarantine moves the object to a name that starts with a dot, under which Objects shows it.
func (m *Memory) Quarantine(ctx context.Context, name string) (string, error) {
	if err := errors.Join(backup.CheckName(name), m.ask(ctx, "quarantine", name)); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.objects[name]
	if !ok {
		return "", fmt.Errorf("quarantine %s: %w", name, backup.ErrNotExist)
	}
	delete(m.objects, name)
	to := tree.QuarantineName(name, time.Now())
	m.objects[to] = content
	return to, nil
}

// Probe reports a create-only location whose owner can do all else.
func (m *Memory) Probe(ctx context.Context) (backup.Capabilities, error) {
	tests := []backup.Test{{What: "overwrite"}, {What: "delete"}}
	return backup.Capabilities{CreateOnly: true, Tests: tests}, m.ask(ctx, "probe", "")
}

// Domain returns the Host.
func (m *Memory) Domain(context.Context) (string, error) {
	if m.Host == "" {
		return fmt.Sprintf("memory %p", m), nil
	}
	return m.Host, nil
}

// Objects returns all objects by name, those in quarantine included.
func (m *Memory) Objects() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string][]byte{}
	for name, content := range m.objects {
		all[name] = bytes.Clone(content)
	}
	return all
}

// Set stores content under the name, whatever is there: bit rot, or an intruder. nil deletes the object.
func (m *Memory) Set(name string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if content == nil {
		delete(m.objects, name)
		return
	}
	m.set(name, content)
}

// set stores content under the name, with m.mu held.
func (m *Memory) set(name string, content []byte) {
	if m.objects == nil {
		m.objects, m.created = map[string][]byte{}, map[string]time.Time{}
	}
	m.objects[name], m.created[name] = content, time.Unix(1, 0)
	if m.Clock != nil {
		m.created[name] = m.Clock()
	}
}

// Copies returns three copies in memory that meet the 3-2-1 rule seen from the site dc1, and the locations behind them.
func Copies() ([]backup.Copy, []*Memory) {
	memories := []*Memory{{}, {}, {}}
	return []backup.Copy{
		{Name: "local", URL: "memory:local", Media: "disk", Site: "dc1", Location: memories[0]},
		{Name: "nas", URL: "memory:nas", Media: "nas", Site: "dc1", Location: memories[1]},
		{Name: "offsite", URL: "memory:offsite", Media: "object", Site: "dc2", Location: memories[2]},
	}, memories
}

// Policy is the 3-2-1 rule seen from the site dc1.
func Policy() backup.Policy { return backup.Policy{Site: "dc1", Copies: 3, Media: 2, Offsite: 1} }

// NewKeys returns new keys of a writer that can also read.
func NewKeys(t testing.TB) backup.Keys {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	signer := sshsig.NewSigner("test")
	return backup.Keys{
		Recipients: []age.Recipient{identity.Recipient()}, RecipientIDs: []string{identity.Recipient().String()},
		Identities: []age.Identity{identity}, Signer: signer,
		Trusted: sshsig.Trusted{}.Trust(backup.Principal, signer.Public()),
	}
}

// Entity returns an entity with the body.
func Entity(kind gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: []byte(body)}
}
