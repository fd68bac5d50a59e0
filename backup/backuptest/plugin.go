package backuptest

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/chacha20poly1305"
)

// pluginName is that of the age plugin that PluginMain is: a token in software.
const pluginName = "gwdrtest"

// How an identity of the plugin behaves.
const (
	PluginWilling = ""        // it opens what is for it
	PluginPIN     = "pin"     // it asks for the PIN first, which is 1234
	PluginConfirm = "confirm" // it says something, and asks for leave
	PluginFailing = "failing" // it says that its token is not there
	PluginSilent  = "silent"  // it does not answer before its input ends
)

// PluginKey returns a new identity of the plugin, which behaves as said, and its recipient.
func PluginKey(t testing.TB, behaviour string) (identity, recipient string) {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return plugin.EncodeIdentity(pluginName, append(key.Bytes(), behaviour...)), plugin.EncodeRecipient(pluginName, key.PublicKey().Bytes())
}

// PluginDir returns a directory for the PATH in which the running test binary is the plugin. Its TestMain calls PluginMain
// if IsPlugin says so.
func PluginDir(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	dir := t.TempDir()
	if err = errors.Join(err, os.Symlink(self, filepath.Join(dir, "age-plugin-"+pluginName))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// IsPlugin reports whether a program with these arguments was started as the plugin.
func IsPlugin(args []string) bool { return filepath.Base(args[0]) == "age-plugin-"+pluginName }

// PluginMain is the plugin. It returns its exit code. If log names a file, each start adds a line to it.
func PluginMain(args []string, log string) int {
	if err := addLine(log, fmt.Sprint(args[1:])); err != nil {
		return 1
	}
	p, err := plugin.New(pluginName)
	if err != nil {
		return 1
	}
	flags := flag.NewFlagSet(pluginName, flag.ContinueOnError)
	p.RegisterFlags(flags)
	if flags.Parse(args[1:]) != nil {
		return 1
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) {
		to, err := ecdh.X25519().NewPublicKey(data)
		return tokenRecipient{to}, err
	})
	p.HandleIdentity(func(data []byte) (age.Identity, error) {
		if len(data) < 32 {
			return nil, errors.New("short identity")
		}
		key, err := ecdh.X25519().NewPrivateKey(data[:32])
		return tokenIdentity{key, string(data[32:]), p}, err
	})
	return p.Main()
}

func addLine(file, line string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

type tokenRecipient struct{ to *ecdh.PublicKey }

// Wrap encrypts the file key to an ephemeral key's shared secret.
func (r tokenRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	once, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	shared, err := once.ECDH(r.to)
	if err != nil {
		return nil, err
	}
	box := tokenBox(shared, once.PublicKey(), r.to)
	sealed, err := chacha20poly1305.New(box)
	if err != nil {
		return nil, err
	}
	body := sealed.Seal(once.PublicKey().Bytes(), make([]byte, chacha20poly1305.NonceSize), fileKey, nil)
	return []*age.Stanza{{Type: pluginName, Body: body}}, nil
}

func tokenBox(shared []byte, once, to *ecdh.PublicKey) []byte {
	sum := sha256.Sum256(append(append(shared, once.Bytes()...), to.Bytes()...))
	return sum[:]
}

type tokenIdentity struct {
	key       *ecdh.PrivateKey
	behaviour string
	plugin    *plugin.Plugin
}

// Unwrap opens the stanza that is for the identity.
func (i tokenIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if err := i.behave(); err != nil {
		return nil, err
	}
	for _, s := range stanzas {
		if s.Type != pluginName || len(s.Body) < 32 {
			continue
		}
		once, err := ecdh.X25519().NewPublicKey(s.Body[:32])
		if err != nil {
			return nil, err
		}
		shared, err := i.key.ECDH(once)
		if err != nil {
			return nil, err
		}
		sealed, err := chacha20poly1305.New(tokenBox(shared, once, i.key.PublicKey()))
		if err != nil {
			return nil, err
		}
		if key, err := sealed.Open(nil, make([]byte, chacha20poly1305.NonceSize), s.Body[32:], nil); err == nil {
			return key, nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func (i tokenIdentity) behave() error {
	switch i.behaviour {
	case PluginPIN:
		if pin, err := i.plugin.RequestValue("PIN of the token", true); err != nil || pin != "1234" {
			return errors.Join(errors.New("the PIN is wrong"), err)
		}
	case PluginConfirm:
		if err := i.plugin.DisplayMessage("the token blinks"); err != nil {
			return err
		}
		if yes, err := i.plugin.Confirm("open it", "yes", "no"); err != nil || !yes {
			return errors.Join(errors.New("nobody gave leave"), err)
		}
	case PluginFailing:
		return errors.New("the token is not there")
	case PluginSilent:
		for b := make([]byte, 1); ; {
			if n, err := syscall.Read(0, b); n < 1 && err != syscall.EINTR {
				return errors.New("its input has ended")
			}
		}
	}
	return nil
}
