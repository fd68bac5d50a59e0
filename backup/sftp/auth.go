package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credentials are the keys that a connection may use.
type credentials struct {
	signers []ssh.Signer
	sources []string // where they came from, for messages
	agent   net.Conn // that signs for some of them, or nil
}

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

// String says what was tried.
func (c *credentials) String() string {
	if len(c.sources) == 0 {
		return "no key"
	}
	return strings.Join(c.sources, ", ")
}

// openCredentials reads the keys: the named one alone, or else those of the agent and the default files. The agent has
// until the deadline, for signing as well.
func (o Options) openCredentials(ctx context.Context, deadline time.Time) (*credentials, error) {
	c := &credentials{}
	if o.Key != "" {
		return c, c.addFile(o.Key)
	}
	if o.Agent != "" {
		if err := c.addAgent(ctx, o.Agent, deadline); err != nil {
			return nil, err
		}
	}
	for _, file := range o.DefaultKeys {
		err := c.addFile(file)
		locked := (*ssh.PassphraseMissingError)(nil)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &locked) { // such a key is for the agent
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *credentials) addFile(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return fmt.Errorf("read key %s: %w", file, err)
	}
	c.signers, c.sources = append(c.signers, signer), append(c.sources, file)
	return nil
}

// addAgent adds what the agent has. An agent that is not there any more is not an error: the files may do.
func (c *credentials) addAgent(ctx context.Context, socket string, deadline time.Time) error {
	conn, err := (&net.Dialer{Deadline: deadline}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil
	}
	err = conn.SetDeadline(deadline)
	var signers []ssh.Signer
	if err == nil {
		signers, err = agent.NewClient(conn).Signers()
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("ask ssh-agent: %w", err)
	}
	c.agent, c.signers = conn, append(c.signers, signers...)
	if len(signers) > 0 {
		c.sources = append(c.sources, fmt.Sprintf("%d of the ssh-agent", len(signers)))
	}
	return nil
}
