// Package certs keeps TLS certificates of files that may be replaced at any time: what is renewed is served without a restart.
package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Pair names the files of one certificate.
type Pair struct {
	Cert string // its chain, its own first (PEM)
	Key  string // its private key (PEM)
}

// lookAgain is how long files are not looked at after a look.
const lookAgain = time.Second

// Set is certificates as they were last read. All methods may be called concurrently.
type Set struct {
	pairs []Pair
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps []stamp
	loaded []*tls.Certificate
}

// stamp tells a file from what it was before.
type stamp struct {
	size     int64
	modified time.Time
}

// Load reads all pairs. The error names the file that cannot be used.
func Load(pairs []Pair, log *slog.Logger) (*Set, error) {
	s := &Set{pairs: pairs, log: log, looked: time.Now()}
	var err error
	if s.stamps, err = s.stat(); err == nil {
		s.loaded, err = s.read()
	}
	if err == nil && len(pairs) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	return s, nil
}

// Config is that of a server of these certificates: TLS 1.2 and later, the first one for clients that name no host or another one.
func (s *Set) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.choose}
}

func (s *Set) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := s.current()
	for _, c := range all {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return all[0], nil
}

// Expires is when the first of the certificates does.
func (s *Set) Expires() time.Time {
	all := s.current()
	first := slices.MinFunc(all, func(a, b *tls.Certificate) int { return a.Leaf.NotAfter.Compare(b.Leaf.NotAfter) })
	return first.Leaf.NotAfter
}

// current returns the certificates, read again if a file has changed. Those that cannot be read take nothing away: the last good ones stay.
func (s *Set) current() []*tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < lookAgain {
		return s.loaded
	}
	s.looked = time.Now()
	now, err := s.stat()
	if err != nil || slices.Equal(now, s.stamps) { // a file that is being replaced may be gone for a moment
		return s.loaded
	}
	s.stamps = now
	all, err := s.read()
	if err != nil {
		s.log.Error("certificate is not renewed, the last good one is served", "error", err)
		return s.loaded
	}
	s.loaded = all
	s.log.Info("certificates renewed", "expires", all[0].Leaf.NotAfter.UTC())
	return s.loaded
}

func (s *Set) stat() ([]stamp, error) {
	var all []stamp
	for _, p := range s.pairs {
		for _, file := range []string{p.Cert, p.Key} {
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("there is no %s", file)
			} else if err != nil {
				return nil, err
			}
			all = append(all, stamp{info.Size(), info.ModTime()})
		}
	}
	return all, nil
}

func (s *Set) read() ([]*tls.Certificate, error) {
	var all []*tls.Certificate
	for _, p := range s.pairs {
		c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", p.Cert, p.Key, err)
		}
		all = append(all, &c)
	}
	return all, nil
}
