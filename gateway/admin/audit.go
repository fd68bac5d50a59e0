package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// audit records a change that was made, which those of a dry run are not: by whom, from where, by which request, and what args add.
// It is never given a secret.
func (s *Server) audit(r *http.Request, op string, args ...any) {
	if dry, _ := isDryRun(r); dry {
		return
	}
	who := callerOf(r)
	s.Audit.Info("admin change", append([]any{"op", op, "by", who.role, "token", who.token, "from", r.RemoteAddr, "method", r.Method,
		"path", r.URL.EscapedPath()}, args...)...)
}

// digest returns the hex SHA-256 of a body, by which a line of the audit log is told to be of it.
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// fingerprint names a token in the audit log: the first 8 digits of its hex SHA-256, which tell the tokens of a file apart, and
// are too few to try guesses on.
func fingerprint(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:4]) }
