package admin

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"gwdr/gateway"
)

// Role is what a bearer of a token may do.
type Role string

// The roles. Nobody but admin, backup and replica sees certificates, which hold private keys.
const (
	Admin    Role = "admin"    // everything
	Operator Role = "operator" // reads and changes entities
	Viewer   Role = "viewer"   // reads routes, upstreams, specs, consumers, settings and status
	Backup   Role = "backup"   // reads everything
	Replica  Role = "replica"  // reads everything and adds revocations: data planes and control planes of other regions
)

// roles lists them.
var roles = []Role{Admin, Operator, Viewer, Backup, Replica}

// action is what a request wants.
type action int

const (
	status  action = iota
	read           // single entities
	secrets        // certificates
	export         // everything at once
	revoke         // add revocations
	write          // change entities
	lead           // promote, restore
)

// allowed is the whole matrix of roles.
func (r Role) allowed(a action) bool {
	switch r {
	case Admin:
		return true
	case Operator:
		return a == status || a == read || a == revoke || a == write
	case Viewer:
		return a == status || a == read
	case Backup:
		return a == status || a == read || a == secrets || a == export
	case Replica:
		return a == status || a == read || a == secrets || a == export || a == revoke
	}
	return false
}

// Tokens maps the SHA-256 of each token to its role. The tokens themselves are not kept.
type Tokens map[[sha256.Size]byte]Role

// minToken is the least length of a token, in bytes: shorter ones can be guessed.
const minToken = 16

// ReadTokens reads lines of the form role:token. Empty lines and lines that begin with # are skipped. Errors name the line,
// never the token.
func ReadTokens(r io.Reader) (Tokens, error) {
	tokens, lines := Tokens{}, bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, token, _ := strings.Cut(line, ":")
		role := Role(strings.TrimSpace(name))
		if token = strings.TrimSpace(token); len(token) < minToken {
			return nil, fmt.Errorf("line %d: want role:token with a token of at least %d characters", n, minToken)
		}
		if !slices.Contains(roles, role) {
			return nil, fmt.Errorf("line %d: role is none of admin, operator, viewer, backup, replica", n)
		}
		tokens[sha256.Sum256([]byte(token))] = role
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	if len(tokens) == 0 {
		return nil, errors.New("no tokens in it")
	}
	return tokens, nil
}

// caller is who sends a request.
type caller struct {
	role  Role
	token string // fingerprint; empty: no token is asked for
}

type callerKey struct{}

// callerOf returns the caller that allow found.
func callerOf(r *http.Request) caller {
	who, _ := r.Context().Value(callerKey{}).(caller)
	return who
}

// allow lets the request through to next if its bearer may do a.
func (s *Server) allow(a action, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.authenticate(r)
		if err == nil {
			r = r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
			err = permit(r, a)
		}
		if err != nil {
			s.Log.Warn("admin request refused", "method", r.Method, "path", r.URL.Path, "by", who.role, "token", who.token, "from", r.RemoteAddr,
				"error", err)
		} else {
			err = checkDryRun(r, a)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next(w, r)
	}
}

// authenticate finds out who sends the request. Without tokens, only names of this machine are answered, so that no web page
// reaches the API through a name of its own.
func (s *Server) authenticate(r *http.Request) (caller, error) {
	if len(s.Tokens) == 0 {
		if !isLocal(r.Host) {
			return caller{}, &refusal{status: http.StatusForbidden, code: "forbidden", text: "host is not this machine's",
				hint: "start with --token-file to be reached under other names"}
		}
		return caller{role: Admin}, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	role, ok := s.Tokens[sum]
	if !strings.EqualFold(scheme, "Bearer") || !ok {
		return caller{}, &refusal{status: http.StatusUnauthorized, code: "unauthorized", text: "no valid token",
			hint: "send Authorization: Bearer TOKEN"}
	}
	return caller{role, fingerprint(sum)}, nil
}

// permit reports why the request's role may not do a.
func permit(r *http.Request, a action) error {
	role := callerOf(r).role
	switch kind := gateway.Kind(r.PathValue("kind")); {
	case a == read && kind == gateway.Cert:
		a = secrets
	case a == write && kind == gateway.Revocation && r.Method == http.MethodPut:
		a = revoke
	}
	if !role.allowed(a) {
		return &refusal{status: http.StatusForbidden, code: "forbidden", text: fmt.Sprintf("role %s may not do this", role)}
	}
	return nil
}

func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil
}
