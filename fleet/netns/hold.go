package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gwdr/fleet"
)

// order is what a holder reads from its standard input.
type order struct {
	Namespace string        `json:"namespace"`
	Table     string        `json:"table"`
	Nonce     string        `json:"nonce"`
	Rules     []string      `json:"rules"`
	Lease     time.Duration `json:"lease_ns"`
	File      string        `json:"file"`
}

// process is one of the two that keep a table.
type process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // as in /proc/PID/stat
}

// hold starts a holder in a session of its own and waits until it says that the table is there.
func (f *Fleet) hold(ctx context.Context, u fleet.Undo, data undoData, t target) error {
	if now, err := inode(t.Name); err != nil || now != t.Inode {
		return errors.Join(errors.New("it is not the namespace that the fault was prepared for"), err)
	}
	if _, err := f.list(ctx, t.Name, "table", "inet", prefix+u.Fault.ID); err == nil {
		return errors.New("a fault of this id is in effect there")
	}
	text, err := json.Marshal(order{t.Name, prefix + u.Fault.ID, data.Nonce, t.Rules, u.Fault.Lease, data.file(t)})
	if err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(f.options.Holder[0], f.options.Holder[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = bytes.NewReader(text), in, &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("start holder: %w", err)
	}
	go cmd.Wait() // it outlives this process, or is reaped by it
	out.SetReadDeadline(time.Now().Add(2 * patience))
	said, err := io.ReadAll(out)
	if err != nil || string(said) != "held\n" {
		return errors.Join(fmt.Errorf("the holder says %q", strings.TrimSpace(string(said))), err)
	}
	return nil
}

// Hold is the holder: it reads an order, makes the table, closes out once it is there, and ends with it when its file is gone or
// was not touched for the lease, by its own clock.
func Hold(in io.Reader, out io.WriteCloser) error {
	var o order
	err := json.NewDecoder(in).Decode(&o)
	if err == nil {
		err = within(o.Namespace, func() error { return o.keep(out) })
	}
	if err != nil {
		fmt.Fprintln(out, err)
	}
	return err
}

func (o order) keep(out io.WriteCloser) error {
	cmd := exec.Command("nft", "-i")
	var said bytes.Buffer
	cmd.Stderr = &said
	feed, err := cmd.StdinPipe() // its end ends nft, and nft's end the table
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nft: %w", err)
	}
	defer cmd.Wait()
	defer feed.Close()
	if err := o.record(cmd.Process.Pid); err != nil {
		return err
	}
	defer os.Remove(o.File)
	if _, err := io.WriteString(feed, o.script()); err != nil {
		return fmt.Errorf("feed nft: %w", err)
	}
	if err := o.await(); err != nil {
		feed.Close()
		cmd.Wait()
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	fmt.Fprintln(out, "held")
	out.Close()
	ended := make(chan struct{})
	go func() { cmd.Process.Wait(); close(ended) }()
	var last time.Time
	for heard := time.Now(); time.Since(heard) < o.Lease; {
		info, err := os.Stat(o.File)
		if err != nil {
			break
		}
		if !info.ModTime().Equal(last) {
			last, heard = info.ModTime(), time.Now()
		}
		select {
		case <-ended:
			return errors.New("nft has ended")
		case <-time.After(min(o.Lease/10, 50*time.Millisecond)):
		}
	}
	return nil
}

// script is one command a line. The chain that is named like the preparation comes last: it says that all else is there.
func (o order) script() string {
	lines := []string{"create table inet " + o.Table + " { flags owner; }"}
	for chain, hook := range map[string]string{"in": "input", "out": "output", "through": "forward"} {
		lines = append(lines, fmt.Sprintf("add chain inet %s %s { type filter hook %s priority -10; policy accept; }", o.Table, chain, hook))
	}
	for _, rule := range o.Rules {
		lines = append(lines, "add rule inet "+o.Table+" "+rule)
	}
	return strings.Join(append(lines, "add chain inet "+o.Table+" "+o.Nonce), "\n") + "\n"
}

// await returns when all rules are there, and the table is owned.
func (o order) await() error {
	var text string
	for deadline := time.Now().Add(patience / 2); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		out, _ := exec.Command("nft", "list", "table", "inet", o.Table).Output()
		text = string(out)
		verdicts := strings.Count(text, "drop") + strings.Count(text, "reject") + strings.Count(text, "accept") - 3 // the policies
		if strings.Contains(text, "chain "+o.Nonce) && strings.Contains(text, "flags owner") && verdicts >= len(o.Rules) {
			return nil
		}
	}
	return errors.New("nft did not make the table")
}

// record says who keeps the table, for whoever has to end them.
func (o order) record(nft int) error {
	text, err := json.Marshal([]process{identify(os.Getpid()), identify(nft)})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.File), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(o.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // another holder's stays
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// release takes the holder's file away, waits until both processes have ended, and kills those that have not.
func release(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var keepers []process
	if err == nil {
		err = json.Unmarshal(text, &keepers)
	}
	if err != nil {
		return fmt.Errorf("read holder's file: %w", err)
	}
	for _, p := range keepers {
		if err := p.kill(); err != nil {
			return err
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// identify returns a process that runs; without a start, it has ended.
func identify(pid int) process {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{PID: pid}
	}
	return process{PID: pid, Start: fields[19]}
}

// kill ends the process, and no other that got its pid, and returns when it is gone.
func (p process) kill() error {
	found, err := os.FindProcess(p.PID) // by pidfd: from here on it is this process or none
	if err != nil || p.Start == "" {
		return err
	}
	defer found.Release()
	for deadline := time.Now().Add(patience); identify(p.PID) == p; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there %s after SIGKILL", p.PID, patience)
		}
		if err := found.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return nil
}
