package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// settle identifies the store. The first start of a cluster's member waits for the others as long as it takes, so also while they elect
// one to lead.
func (s *Store) settle(ctx context.Context, follower bool) error {
	for {
		err := s.identify(ctx, follower)
		if s.cluster == nil || !errors.Is(err, ErrNoQuorum) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.etcd.Server.StopNotify():
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// identify finds out what was opened: a new store, one that is known, or one that lost its content.
func (s *Store) identify(ctx context.Context, follower bool) error {
	id, epoch, err := s.readIdentity()
	if err != nil {
		return err
	}
	have, err := s.readSoon(ctx)
	if s.quorate.Store(err == nil); errors.Is(err, ErrNoQuorum) && id != "" {
		s.assume(id, epoch)
		return nil
	}
	if err != nil {
		return err
	}
	s.state.Store(have)
	switch {
	case have.id != "":
		if id != "" && id != have.id {
			s.tellOther(id, have)
		}
		if id != have.id || epoch != have.role.Epoch { // stopped between the store and the file: the store decides
			return s.writeIdentity(have.id, have.role.Epoch)
		}
		return nil
	case have.role.Hides != "":
		s.log.Warn("a restore was cut off: the store held nothing before, and does so again", "dir", s.dir)
		return s.unhide(ctx)
	case id != "":
		s.log.Warn("store was emptied from outside and waits for a restore", "dir", s.dir, "lost_store", id)
		s.state.Store(&known{role: Role{Mode: gateway.ModeBlank, Epoch: epoch}, rev: have.rev})
		return nil
	}
	role := Role{Mode: gateway.ModeLeader, Epoch: 1}
	if follower {
		role = Role{Mode: gateway.ModeFollower}
	}
	err = s.become(ctx, role, newID())
	s.fresh = err == nil
	if s.shared && errors.Is(err, gateway.ErrConflict) { // another process was quicker
		if have, err = s.read(ctx); err == nil {
			err = s.adopt(have)
		}
	}
	return err
}

// readSoon is read, but for elections, which it outlasts: who answers that there is no leader at the moment has one soon.
func (s *Store) readSoon(ctx context.Context) (*known, error) {
	for end := time.Now().Add(answerWithin); ; time.Sleep(50 * time.Millisecond) {
		have, err := s.read(ctx)
		if !errors.Is(err, ErrNoQuorum) || ctx.Err() != nil || !time.Now().Before(end) {
			return have, err
		}
	}
}

// read looks up the store's identity and role.
func (s *Store) read(ctx context.Context) (*known, error) {
	resp, err := s.kv.Txn(ctx).Then(clientv3.OpGet(keyStore), clientv3.OpGet(keyMode), clientv3.OpGet(keyApplied)).Commit()
	if err != nil {
		return nil, fmt.Errorf("read store identity: %w", err)
	}
	k := &known{}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		k.id = string(kvs[0].Value)
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		k.rev = kvs[0].ModRevision
		err = errors.Join(err, json.Unmarshal(kvs[0].Value, &k.role))
	}
	if kvs := resp.Responses[2].GetResponseRange().Kvs; len(kvs) > 0 {
		err = errors.Join(err, json.Unmarshal(kvs[0].Value, &k.origin))
	}
	if err != nil {
		return nil, fmt.Errorf("read store identity: %w", err)
	}
	return k, nil
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (s *Store) identityFile() string { return filepath.Join(s.dir, "store-id") }

// readIdentity returns the id and epoch that the store last had, or "" if there never was one.
func (s *Store) readIdentity() (id string, epoch int64, err error) {
	b, err := os.ReadFile(s.identityFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("read store identity: %w", err)
	}
	id, rest, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", 0, fmt.Errorf("read store identity: %s holds no store id", s.identityFile())
	}
	if epoch, err = strconv.ParseInt(rest, 10, 64); err != nil {
		return "", 0, fmt.Errorf("read store identity %s: %w", s.identityFile(), err)
	}
	return id, epoch, nil
}

// writeIdentity puts "<id> <epoch>" outside of etcd, so that a wiped store is told from a new one, and a restored one
// gets an epoch that nobody has seen.
func (s *Store) writeIdentity(id string, epoch int64) error {
	f, err := os.CreateTemp(s.dir, "store-id-*")
	if err != nil {
		return fmt.Errorf("write store identity: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%s %d\n", id, epoch)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.identityFile())
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("write store identity: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
