package admin

import (
	_ "embed"
	"fmt"
	"net/http"

	"gopkg.in/yaml.v3"
)

// description is this API as an OpenAPI 3.1 document. Tests hold it against the endpoints, the bodies, and every answer that
// they get.
//
//go:embed openapi.yaml
var description []byte

// describe answers the description as JSON, which all tools read.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	var document map[string]any
	if err := yaml.Unmarshal(description, &document); err != nil {
		s.fail(w, r, fmt.Errorf("read own description: %w", err))
		return
	}
	answer(w, http.StatusOK, document)
}
