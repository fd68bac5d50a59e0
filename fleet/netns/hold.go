package netns

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/proc"
)

// order is what a holder reads from its standard input.
type order struct {
	NFT       string        `json:"nft"` // the command, with its path
	Namespace string        `json:"namespace"`
	Table     string        `json:"table"`
	Nonce     string        `json:"nonce"`
	Rules     []string      `json:"rules"`
	Lease     time.Duration `json:"lease_ns"`
	File      string        `json:"file"`
}

// hold starts a holder in a session of its own and waits until it says that the table is there.
func (f *Fleet) hold(ctx context.Context, u fleet.Undo, data undoData, t target) error {
	if now, err := inode(t.Name); err != nil || now != t.Inode {
		return errors.Join(errors.New("it is not the namespace that the fault was prepared for"), err)
	}
	tables, err := f.tables(ctx, t.Name)
	if err == nil && slices.Contains(tables, prefix+u.Fault.ID) {
		err = errors.New("a fault of this id is in effect there")
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(order{f.nft, t.Name, prefix + u.Fault.ID, data.Nonce, t.Rules, u.Fault.Lease, data.file(t)})
	if err == nil {
		err = expect(data.file(t))
	}
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
	cmd.Env = append(os.Environ(), heldBy+data.file(t))
	err = cmd.Start()
	in.Close()
	if err != nil {
		return fmt.Errorf("start holder: %w", err)
	}
	go cmd.Wait() // it outlives this process, or is reaped by it
	out.SetReadDeadline(time.Now().Add(2 * patience))
	defer context.AfterFunc(ctx, func() { out.SetReadDeadline(time.Now()) })()
	said, err := bufio.NewReader(out).ReadString('\n')
	if said = strings.TrimSpace(said); said != held {
		return errors.Join(fmt.Errorf("the holder says %q", said), err)
	}
	return nil
}

// held is what a holder says once the table is there; anything else is why it is not.
const held = "held"

// Hold is the holder: it reads an order, makes the table, says so once it is there, and ends with it when ctx does, when its file
// is gone, or was not touched for the lease, by its own clock.
func Hold(ctx context.Context, in io.Reader, out io.Writer) error {
	var o order
	err := json.NewDecoder(in).Decode(&o)
	if err == nil {
		err = within(o.Namespace, func() error { return o.keep(ctx, out) })
	}
	if err != nil {
		fmt.Fprintln(out, strings.ReplaceAll(err.Error(), "\n", ": "))
	}
	return err
}

// keep feeds nft, whose end is that of the table, and stays until it has ended.
func (o order) keep(ctx context.Context, out io.Writer) error {
	if _, err := os.Stat(o.File); err != nil { // from here on, a revert finds this process
		return fmt.Errorf("the fault was reverted meanwhile: %w", err)
	}
	cmd := exec.Command(o.NFT, "-i")
	var said bytes.Buffer
	cmd.Stderr = &said
	feed, err := cmd.StdinPipe() // its end ends nft
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nft: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	if err = o.feed(feed); err == nil {
		fmt.Fprintln(out, held)
		err = o.untilOver(ctx, ended)
	}
	feed.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		err = errors.Join(err, cmd.Process.Kill())
		<-ended
	}
	if err != nil && said.Len() > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return errors.Join(err, removeIfThere(o.File))
}

// feed makes the table, and returns once it is there.
func (o order) feed(feed io.Writer) error {
	if _, err := io.WriteString(feed, o.script()); err != nil {
		return fmt.Errorf("feed nft: %w", err)
	}
	return o.await()
}

// untilOver returns when the fault is to end.
func (o order) untilOver(ctx context.Context, ended <-chan struct{}) error {
	var last time.Time
	for heard := time.Now(); time.Since(heard) < o.Lease; {
		info, err := os.Stat(o.File)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if !info.ModTime().Equal(last) {
			last, heard = info.ModTime(), time.Now()
		}
		select {
		case <-ended:
			return errors.New("nft has ended")
		case <-ctx.Done():
			return nil
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
		out, _ := exec.Command(o.NFT, "list", "table", "inet", o.Table).Output()
		text = string(out)
		verdicts := strings.Count(text, "drop") + strings.Count(text, "reject") + strings.Count(text, "accept") - 3 // the policies
		if strings.Contains(text, "chain "+o.Nonce) && strings.Contains(text, "flags owner") && verdicts >= len(o.Rules) {
			return nil
		}
	}
	return errors.New("nft did not make the table")
}

// expect makes the holder's file before there is a holder: with the file gone, none makes a table any more, however late it comes to it.
func expect(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// release takes the holder's file away, which is the end of a holder that is still to begin, and kills those that have begun, whatever
// they are at. It can be called again after it was interrupted anywhere.
func release(file string) error {
	if err := removeIfThere(file); err != nil {
		return err
	}
	for {
		all, err := keepers(file)
		if err != nil || len(all) == 0 {
			return err
		}
		for _, p := range all {
			if err := p.Kill(); err != nil {
				return err
			}
		}
	}
}

// heldBy begins the variable by which keepers are known; what follows is the holder's file.
const heldBy = "HELD_BY_GWDR="

// keepers lists the processes that keep a table: the holder, and what it runs, which inherits its environment.
func keepers(file string) (all []proc.ID, err error) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	for _, at := range environs {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(at)))
		id, err := proc.Identify(pid) // before the look: who gets the pid after it is another one
		if err != nil {
			continue // it has ended
		}
		text, err := os.ReadFile(at)
		if err == nil && slices.Contains(strings.Split(string(text), "\x00"), heldBy+file) && id.Alive() {
			all = append(all, id)
		}
	}
	return all, err
}
