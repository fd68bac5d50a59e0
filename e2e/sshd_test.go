package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gwdr/backup/sftp"
)

// sshd is OpenSSH's server, for one test: each connection to a port that the system picked gets a process of its own, as
// inetd and systemd do it.
type sshd struct {
	t        *testing.T
	program  string
	config   string // file
	dir      string // where a location can be
	key      string // file of the key that it lets in
	known    string // file of its host key
	log      *os.File
	listener net.Listener

	mu      sync.Mutex
	down    bool // new connections are closed at once
	running map[*exec.Cmd]bool
	ended   sync.WaitGroup
}

// startSSHD starts the server with the options of its SFTP server, such as -R, which makes it read-only.
func startSSHD(t *testing.T, options ...string) *sshd {
	t.Helper()
	env := tools(t, "sshd", "ssh-keygen")
	dir := t.TempDir()
	s := &sshd{
		t: t, program: lookIn(t, env, "sshd"), config: filepath.Join(dir, "sshd_config"), dir: filepath.Join(dir, "location"),
		key: filepath.Join(dir, "id"), known: filepath.Join(dir, "known_hosts"), running: map[*exec.Cmd]bool{},
	}
	if os.Geteuid() == 0 { // where it locks itself up before a login
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.newKey(env, s.key)
	s.newKey(env, filepath.Join(dir, "host"))
	write(t, s.config, fmt.Appendf(nil, `HostKey %[1]s/host
AuthorizedKeysFile %[1]s/id.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp %[2]s
`, dir, strings.Join(options, " ")))
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.knowHost(filepath.Join(dir, "host.pub"))
	s.ended.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

func (s *sshd) newKey(env []string, file string) {
	s.t.Helper()
	keygen := exec.Command(lookIn(s.t, env, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", file)
	keygen.Env = env
	if out, err := keygen.CombinedOutput(); err != nil {
		s.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// knowHost makes the public key in the file the known one of this server.
func (s *sshd) knowHost(file string) {
	s.t.Helper()
	public, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	write(s.t, s.known, fmt.Appendf(nil, "[%s]:%s %s", host, port, public))
}

// url is that of the location.
func (s *sshd) url() string {
	s.t.Helper()
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("sftp://%s@%s%s?key=%s&known_hosts=%s", me.Username, s.listener.Addr(), s.dir, s.key, s.known)
}

func (s *sshd) options() sftp.Options {
	s.t.Helper()
	o, err := sftp.ParseURL(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// open returns a new location.
func (s *sshd) open() *sftp.Location {
	s.t.Helper()
	l := sftp.Open(s.options())
	if err := l.Init(s.t.Context()); err != nil {
		s.t.Fatalf("%v\n%s", err, s.said())
	}
	return l
}

func (s *sshd) said() []byte {
	text, _ := os.ReadFile(s.log.Name())
	return text
}

// accept serves connections until the listener ends.
func (s *sshd) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.serve(conn.(*net.TCPConn))
	}
}

func (s *sshd) serve(conn *net.TCPConn) {
	defer conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return
	}
	socket, err := conn.File()
	if err != nil {
		return
	}
	defer socket.Close()
	cmd := exec.Command(s.program, "-i", "-e", "-f", s.config)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, s.log
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(s.log, "start sshd: %v\n", err)
		return
	}
	s.running[cmd] = true
	s.ended.Go(func() {
		cmd.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, cmd)
	})
}

// kill ends every process of the server at once. No others start until revive.
func (s *sshd) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for cmd := range s.running {
		for _, pid := range descendants(cmd.Process.Pid) {
			if p, err := os.FindProcess(pid); err == nil {
				p.Kill()
			}
		}
		cmd.Process.Kill()
	}
}

func (s *sshd) revive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
}

func (s *sshd) stop() {
	s.listener.Close()
	s.kill()
	s.ended.Wait()
	if s.t.Failed() {
		s.t.Logf("sshd said:\n%s", s.said())
	}
	s.log.Close()
}

// descendants returns the processes that the process started, and those that they did.
func descendants(pid int) []int {
	var all []int
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range bytes.Fields(content) {
		if child, err := strconv.Atoi(string(field)); err == nil {
			all = append(append(all, child), descendants(child)...)
		}
	}
	return all
}

// lookIn returns the absolute path of the program in that environment: sshd starts itself by it.
func lookIn(t *testing.T, env []string, name string) string {
	t.Helper()
	for _, v := range slices.Backward(env) {
		path, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && info.Mode()&0o111 != 0 && filepath.IsAbs(file) {
				return file
			}
		}
		break
	}
	t.Fatalf("find %s: %v", name, fs.ErrNotExist)
	return ""
}
