package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// writeAsMember puts keys and revocations until its input ends, and says for each that was acknowledged its reference, and whether
// this member led the cluster then.
func writeAsMember(o store.Options) {
	s, err := store.Open(context.Background(), o)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for i := 0; ; i++ {
		select {
		case <-ended:
			s.Close()
			return
		default:
		}
		kind := []gateway.Kind{gateway.Key, gateway.Revocation}[i%2]
		e := entity(kind, fmt.Sprintf("%s-%d", o.Cluster.Name, i), "{}")
		switch _, _, err := s.Put(context.Background(), e, gateway.Condition{}); {
		case err == nil:
			fmt.Println(e.Ref, s.LeadsCluster())
		case !errors.Is(err, store.ErrNoQuorum):
			fmt.Println("error", err)
			return
		}
	}
}

// member is a process that writes as a member of a cluster.
type member struct {
	options store.Options
	kill    func()
	end     func()      // has it close its store, and waits for that
	acked   chan string // what it says
}

func startMember(t *testing.T, o store.Options) *member {
	t.Helper()
	child := playing(t, "GWDR_TEST_MEMBER", o)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	m := &member{options: o, acked: make(chan string, 1<<20)}
	read := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.acked <- lines.Text()
		}
		close(m.acked)
		close(read)
	}()
	m.end = func() { in.Close(); <-read; child.Wait() }
	m.kill = func() { child.Process.Kill(); <-read; child.Wait() }
	t.Cleanup(m.kill)
	return m
}

// take returns the next n references that the member had acknowledged, or all that are left, and whether it led when it wrote the last.
func (m *member) take(t *testing.T, n int) (refs []string, led bool) {
	t.Helper()
	for len(refs) < n {
		select {
		case line, open := <-m.acked:
			if !open {
				return refs, led
			}
			if strings.HasPrefix(line, "error") {
				t.Fatal(line)
			}
			ref, leads, _ := strings.Cut(line, " ")
			refs, led = append(refs, ref), leads == "true"
		case <-time.After(30 * time.Second):
			t.Fatalf("member %s acknowledges nothing", m.options.Cluster.Name)
		}
	}
	return refs, led
}

// The member that leads is killed while all three write: the others go on, and no write that any of them acknowledged is lost. When
// the member is back, it has them all.
func TestLeadingMemberIsKilled(t *testing.T) {
	t.Parallel() // it waits most of the time
	options := members(t)
	var all []*member
	for _, o := range options {
		all = append(all, startMember(t, o))
	}
	var acked []string
	led := -1
	for i, m := range all {
		refs, leads := m.take(t, 50)
		acked = append(acked, refs...)
		if leads {
			led = i
		}
	}
	if led < 0 {
		t.Fatal("nobody leads")
	}
	all[led].kill()
	begun := time.Now()
	rest, _ := all[led].take(t, 1<<20)
	acked = append(acked, rest...)
	for i, m := range all {
		if i != led {
			refs, _ := m.take(t, len(m.acked)+20)
			acked = append(acked, refs...)
		}
	}
	t.Logf("others went on after %s", time.Since(begun))
	for i, m := range all {
		if i != led {
			m.end()
			refs, _ := m.take(t, 1<<20)
			acked = append(acked, refs...)
		}
	}
	for i, o := range options {
		if i != led && i != (led+1)%3 {
			defer begin(t, o)()
		}
	}
	survivor := open(t, options[(led+1)%3])
	hasAll(t, survivor, acked)
	if err := survivor.Close(); err != nil { // of the quorum, the one that was killed is left
		t.Fatal(err)
	}
	hasAll(t, open(t, options[led]), acked)
}

// hasAll checks that all that was acknowledged is there.
func hasAll(t *testing.T, s *store.Store, acked []string) {
	t.Helper()
	_, got := state(t, s)
	there := map[string]bool{}
	for _, ref := range got.Refs() {
		there[ref.String()] = true
	}
	lost := 0
	for _, ref := range acked {
		if !there[ref] {
			lost++
		}
	}
	if lost > 0 || len(acked) == 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(acked))
	}
	t.Logf("%d acknowledged, %d there", len(acked), len(there))
}

// quick fails the test if do takes longer than whoever waits for an answer should have to.
func quick(t *testing.T, what string, do func() error) {
	t.Helper()
	begun := time.Now()
	if err := do(); !errors.Is(err, store.ErrNoQuorum) {
		t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("%s took %s", what, took)
	}
}

// silent checks that a store that no quorum answers for says so soon, whatever is asked of it.
func silent(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, e := t.Context(), entity(gateway.Route, "a", "2")
	var asking sync.WaitGroup
	for what, ask := range map[string]func() error{
		"put":    func() error { _, _, err := s.Put(ctx, e, gateway.Condition{}); return err },
		"delete": func() error { _, _, err := s.Delete(ctx, e.Ref, gateway.Condition{}); return err },
		"apply":  func() error { _, _, err := s.Apply(ctx, creates(gateway.Key, 5000, "{}"), gateway.Bulk{}); return err },
		"restore": func() error {
			_, _, err := s.Apply(ctx, creates(gateway.Key, 1, "{}"), gateway.Bulk{Restore: true})
			return err
		},
		"get":     func() error { _, err := s.Get(ctx, e.Ref); return err },
		"state":   func() error { _, _, err := s.State(ctx); return err },
		"changes": func() error { _, err := s.Changes(ctx, "", 1, nil); return err },
		"watch":   func() error { return s.Watch(ctx, "", 1, func(gateway.Batch) error { return nil }) },
		"answers": func() error { return s.Answers(ctx) },
		"promote": func() error { _, err := s.Promote(ctx); return err },
	} {
		asking.Go(func() { quick(t, what, ask) })
	}
	asking.Wait()
}

// Without a quorum nothing is acknowledged and nobody waits for long; a watch ends; a member that is started then is there, as a
// process that serves traffic from its last good configuration, too, must be; and all goes on when another is back.
func TestQuorumIsLost(t *testing.T) {
	t.Parallel() // it waits most of the time
	options := members(t)
	second, third := begin(t, options[1]), begin(t, options[2])
	s := open(t, options[0])
	revision := put(t, s, entity(gateway.Route, "a", "1"))
	id := s.ID()
	watched, watching := make(chan error, 1), make(chan struct{}, 1000)
	go func() {
		watched <- s.Watch(t.Context(), "", revision, func(gateway.Batch) error { watching <- struct{}{}; return nil })
	}()
	<-watching
	second()
	third()
	if err := <-watched; !errors.Is(err, store.ErrNoQuorum) {
		t.Errorf("watch: %v", err)
	}
	silent(t, s)
	s = reopen(t, s, options[0])
	if s.ID() != id || s.Role() != (store.Role{Mode: gateway.ModeLeader, Epoch: 1}) {
		t.Errorf("opened without a quorum: %s, %+v", s.ID(), s.Role())
	}
	silent(t, s)
	defer begin(t, options[2])()
	until(t, "store answers again", func() bool { return s.Answers(t.Context()) == nil })
	until(t, "writes go on", func() bool {
		_, _, err := s.Put(t.Context(), entity(gateway.Route, "b", "1"), gateway.Condition{})
		if err != nil && !errors.Is(err, store.ErrNoQuorum) {
			t.Errorf("while the store comes back: %v", err)
		}
		return err == nil
	})
	if _, got := state(t, s); got.Len() < 2 {
		t.Errorf("%v", got.Refs())
	}
}

// An alarm of one member's engine stops the writes of all. Each makes room in its own file, and it is taken back, unasked.
func TestAlarmInACluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	options := members(t)
	for i := range options {
		options[i].Quota = smallQuota
	}
	defer begin(t, options[1])()
	defer begin(t, options[2])()
	s := open(t, options[0])
	acked := gateway.NewState(entity(gateway.Route, "r", "1"))
	put(t, s, entity(gateway.Route, "r", "1"))
	if err := s.Overfill(t.Context()); err == nil || !s.Alarmed() {
		t.Fatalf("alarmed %t: %v", s.Alarmed(), err)
	}
	for n := range 20 {
		e := entity(gateway.Route, fmt.Sprint(n), "2")
		insist(t, s, e)
		acked.Put(e)
	}
	holds(t, s, acked)
}

func TestClusterThatCannotBe(t *testing.T) {
	three := func(scheme, host string) map[string]string {
		return map[string]string{"a": scheme + "://127.0.0.1:1", "b": scheme + "://127.0.0.1:2", "c": scheme + "://" + host}
	}
	for says, c := range map[string]store.Cluster{
		"no member is named":   {Name: "d", Members: three("http", "127.0.0.1:3")},
		"odd number":           {Name: "a", Members: map[string]string{"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"}},
		"that needs https":     {Name: "a", Members: three("http", "10.0.0.1:3")},
		"not of the form":      {Name: "a", Members: three("https", "10.0.0.1")},
		"need a CA":            {Name: "a", Members: three("https", "10.0.0.1:3")},
		"either http or https": {Name: "a", Members: map[string]string{"a": "http://127.0.0.1:1", "b": "https://127.0.0.1:2", "c": "https://127.0.0.1:3"}},
	} {
		if _, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Cluster: &c}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
