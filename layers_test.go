package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers says which of our packages each package may import; a trailing /... covers what lies below. A package that is
// not listed may import nothing of ours. Tests may import more.
var layers = map[string][]string{
	"":                  {"cmd"},
	"cmd":               {"..."},
	"report":            {"drills", "scenarios", "fleet", "probes", "probes/calibration", "internal/journal", "internal/sshsig"},
	"drills":            {"scenarios", "fleet", "probes", "probes/calibration", "internal/journal"},
	"scenarios":         {"fleet", "probes"},
	"restore":           {"backup", "gateway"},
	"backup":            {"gateway", "internal/sshsig"},
	"backup/backuptest": {"backup", "backup/tree", "gateway", "internal/sshsig"},
	"backup/dir":        {"backup", "backup/tree"},
	"backup/sftp":       {"backup", "backup/tree"},
	"backup/tree":       {},
	"backup/...":        {"backup"},
	"probes/...":        {"probes"},
	"gateway/admin":     {"gateway", "gateway/contract", "gateway/openapi", "gateway/store"},
	"gateway/contract":  {"gateway", "gateway/openapi"},
	"gateway/proxy":     {"gateway", "gateway/contract"},
	"gateway/replica":   {"gateway", "gateway/native", "gateway/store"},
	"gateway/...":       {"gateway"},
	"fleet/docker":      {"fleet", "fleet/reach"},
	"fleet/exec":        {"fleet", "fleet/command", "fleet/mark", "fleet/reach"},
	"fleet/host":        {"fleet", "fleet/command", "fleet/mark", "fleet/proc", "fleet/reach"},
	"fleet/mark":        {"fleet", "fleet/proc"},
	"fleet/netns":       {"fleet", "fleet/proc"},
	"fleet/process":     {"fleet", "fleet/link", "fleet/proc"},
	"fleet/...":         {"fleet"},
	"internal/tui":      {"drills", "scenarios", "fleet", "probes"},

	"internal/telemetry":  {"drills", "probes"},
	"gateway/proxy/redis": {"gateway/proxy"},
}

// external says which third-party packages only some of ours may import.
var external = map[string][]string{
	"github.com/spf13/":                   {"cmd"},
	"github.com/charmbracelet/bubbletea":  {"internal/tui"},
	"github.com/aws/":                     {"backup/s3"},
	"gocloud.dev":                         {"backup/blob"},
	"cloud.google.com/":                   {"backup/blob"},
	"google.golang.org/api/":              {"backup/blob"},
	"github.com/Azure/":                   {"backup/blob"},
	"github.com/pkg/sftp":                 {"backup/sftp"},
	"go.etcd.io/":                         {"gateway/store"},
	"github.com/prometheus/client_golang": {"cmd", "gateway/proxy", "gateway/admin", "internal/telemetry"},
	"github.com/sony/gobreaker":           {"gateway/proxy"},
	"go.opentelemetry.io/":                {"internal/telemetry"},
	"github.com/redis/":                   {"gateway/proxy/redis"},
	"github.com/go-redis/":                {"gateway/proxy/redis"},
	"github.com/go-jose/":                 {"gateway", "gateway/proxy"},
	"github.com/getkin/":                  {"gateway/contract"},
}

const (
	maxFileLines     = 500
	maxFunctionLines = 80
)

func TestLayers(t *testing.T) {
	forEachFile(t, func(pkg, path string, fset *token.FileSet, file *ast.File) {
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if ours, ok := strings.CutPrefix(imported, "gwdr/"); ok && !slices.ContainsFunc(allowed(pkg), covers(ours)) {
				t.Errorf("%s: package %q may not import %q", path, pkg, ours)
			}
			for prefix, users := range external {
				if strings.HasPrefix(imported, prefix) && !slices.Contains(users, pkg) {
					t.Errorf("%s: only %v may import %s", path, users, imported)
				}
			}
		}
	})
}

func TestSizes(t *testing.T) {
	forEachFile(t, func(_, path string, fset *token.FileSet, file *ast.File) {
		if lines := fset.File(file.Pos()).LineCount(); lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", path, lines, maxFileLines)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", path, fn.Name.Name, lines, maxFunctionLines)
			}
		}
	})
}

// TestProcessState keeps the process's own state (environment, arguments, streams, exit) in cmd and main, and init out.
func TestProcessState(t *testing.T) {
	forbidden := []string{"Getenv", "LookupEnv", "Args", "Exit", "Stdin", "Stdout", "Stderr"}
	forEachFile(t, func(pkg, path string, fset *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s: %s", fset.Position(n.Pos()), "init function")
				}
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if ok && x.Name == "os" && slices.Contains(forbidden, n.Sel.Name) && pkg != "cmd" && pkg != "" {
					t.Errorf("%s: os.%s outside of cmd", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	})
}

func forEachFile(t *testing.T, visit func(pkg, path string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || path == "e2e") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "."), path, fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// allowed returns the entry of layers for pkg, or of the closest /... above it.
func allowed(pkg string) []string {
	if list, ok := layers[pkg]; ok {
		return list
	}
	for dir := pkg; dir != ""; {
		i := strings.LastIndexByte(dir, '/')
		if i < 0 {
			return nil
		}
		dir = dir[:i]
		if list, ok := layers[dir+"/..."]; ok {
			return list
		}
	}
	return nil
}

func covers(imported string) func(string) bool {
	return func(rule string) bool {
		prefix, open := strings.CutSuffix(rule, "...")
		return rule == imported || open && strings.HasPrefix(imported, prefix)
	}
}
