package sftp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"gwdr/backup/sftp"
)

// server is an SSH server in this process, over pipes, whose SFTP server works on the real file system. It has hard links,
// no fsync, and a rename that overwrites.
type server struct {
	config ssh.ServerConfig
	url    string           // for ParseURL, of a directory that is not there yet
	known  string           // file of its host key
	key    string           // file of the key that it lets in
	files  pkgsftp.Handlers // if set, what it has instead of the file system

	mu    sync.Mutex
	dials int
	conns []net.Conn // the clients' ends, wrapped
	wrap  func(net.Conn) net.Conn
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{known: filepath.Join(dir, "known_hosts"), key: filepath.Join(dir, "id")}
	host, _ := newKey(t, "")
	user, pemBytes := newKey(t, "")
	s.config.AddHostKey(host)
	s.config.PublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.PublicKey().Marshal()) {
			return nil, os.ErrPermission
		}
		return nil, nil
	}
	write(t, s.key, string(pemBytes))
	write(t, s.known, knownhosts.Line([]string{"nas.test"}, host.PublicKey())+"\n")
	s.url = "sftp://backup@nas.test" + filepath.Join(dir, "deep", "location")
	t.Cleanup(s.cut)
	return s
}

func newKey(t *testing.T, passphrase string) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// options are those of a client that the server lets in.
func (s *server) options(t *testing.T) sftp.Options {
	t.Helper()
	o, err := sftp.ParseURL(s.url + "?key=" + s.key + "&known_hosts=" + s.known)
	if err != nil {
		t.Fatal(err)
	}
	o.DialContext = s.dial
	return o
}

func (s *server) open(t *testing.T) *sftp.Location {
	t.Helper()
	l := sftp.Open(s.options(t))
	if err := l.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	var client net.Conn
	client, end := newPipe()
	go s.serve(end)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrap != nil {
		client = s.wrap(client)
	}
	s.dials++
	s.conns = append(s.conns, client)
	return client, nil
}

// cut ends all connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}

func (s *server) dialled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

func (s *server) serve(end net.Conn) {
	defer end.Close()
	_, channels, requests, err := ssh.NewServerConn(end, &s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for r := range requests {
				ok := r.Type == "subsystem" && strings.HasSuffix(string(r.Payload), "sftp")
				r.Reply(ok, nil)
				if !ok {
					continue
				}
				s.serveFiles(channel)
				return
			}
		}()
	}
}

func (s *server) serveFiles(channel ssh.Channel) {
	if s.files.FileList != nil {
		pkgsftp.NewRequestServer(channel, s.files).Serve()
		return
	}
	if files, err := pkgsftp.NewServer(channel); err == nil {
		files.Serve()
	}
}
