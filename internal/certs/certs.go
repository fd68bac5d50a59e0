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
	log *slog.Logger

	mu     sync.Mutex
	looked time.Time
	kept   []kept
}

// kept is one certificate as it was last read.
type kept struct {
	Pair
	stamps [2]stamp // of its files at the last look
	loaded *tls.Certificate
}

// stamp tells a file from what it was before; one that is not there has the zero value.
type stamp struct {
	size     int64
	modified time.Time
}

// Load reads all pairs. The error names the file that cannot be used.
func Load(pairs []Pair, log *slog.Logger) (*Set, error) {
	s := &Set{log: log, looked: time.Now()}
	for _, p := range pairs {
		k := kept{Pair: p, stamps: p.stamps()}
		var err error
		if k.loaded, err = p.read(); err != nil {
			return nil, fmt.Errorf("load certificates: %w", err)
		}
		s.kept = append(s.kept, k)
	}
	if len(s.kept) == 0 {
		return nil, errors.New("load certificates: there is none")
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

// current returns the certificates, read again if a file of theirs has changed.
func (s *Set) current() []*tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := time.Since(s.looked) >= lookAgain
	if look {
		s.looked = time.Now()
	}
	all := make([]*tls.Certificate, len(s.kept))
	for i := range s.kept {
		if look {
			s.kept[i].renew(s.log)
		}
		all[i] = s.kept[i].loaded
	}
	return all
}

// renew reads the certificate again if a file of it has changed. One that cannot be read takes nothing away: the last good one stays.
func (k *kept) renew(log *slog.Logger) {
	now := k.Pair.stamps()
	if now == k.stamps {
		return
	}
	k.stamps = now
	c, err := k.read()
	if err != nil {
		log.Error("certificate is not renewed, the last good one is served", "error", err)
		return
	}
	k.loaded = c
	log.Info("certificate renewed", "file", k.Cert, "expires", c.Leaf.NotAfter.UTC())
}

func (p Pair) stamps() (all [2]stamp) {
	for i, file := range []string{p.Cert, p.Key} {
		if info, err := os.Stat(file); err == nil {
			all[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return all
}

func (p Pair) read() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if gone, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s", gone.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", p.Cert, p.Key, err)
	}
	return &c, nil
}
