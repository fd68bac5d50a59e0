package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writerPath names the environment variable that turns the test binary into a process that only writes a journal.
const writerPath = "JOURNAL_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerPath); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

// writeForever appends entries until it is killed, and prints the number of each once it is safe.
func writeForever(path string) {
	j, err := Create(path)
	if err != nil {
		panic(err)
	}
	for i := 1; ; i++ {
		if err := j.Append("tick", time.Duration(i), map[string]string{"pad": strings.Repeat("x", i%200)}); err != nil {
			panic(err)
		}
		fmt.Println(i)
	}
}

type phase struct {
	Phase string `json:"phase"`
}

func written(t *testing.T, n int) (path string, raw []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.jsonl")
	j, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := j.Append("phase", time.Duration(i)*time.Second, phase{fmt.Sprintf("p%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, raw
}

func TestAppendedEntriesAreReadBack(t *testing.T) {
	_, raw := written(t, 3)
	entries, err := Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.At.IsZero() || e.At.Location() != time.UTC {
			t.Errorf("entry %d: at = %v, want a time in UTC", e.Seq, e.At)
		}
		got = append(got, fmt.Sprintf("%d %s %v %s", e.Seq, e.Type, e.OffsetS, e.Data))
	}
	want := []string{`1 phase 0 {"phase":"p0"}`, `2 phase 1 {"phase":"p1"}`, `3 phase 2 {"phase":"p2"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreateRefusesAnExistingJournal(t *testing.T) {
	path, _ := written(t, 1)
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("err = %v, want fs.ErrExist", err)
	}
}

func TestAppendFailsForeverAfterTheDiskFailed(t *testing.T) {
	j, err := Create(filepath.Join(t.TempDir(), "j"))
	if err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	first := j.Append("phase", 0, nil)
	if second := j.Append("phase", 0, nil); first == nil || !errors.Is(second, first) {
		t.Errorf("errors = %v, then %v; want the same twice", first, second)
	}
}

func TestDataThatIsNoJSONLeavesTheJournalUsable(t *testing.T) {
	j, err := Create(filepath.Join(t.TempDir(), "j"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Append("phase", 0, func() {}); err == nil {
		t.Error("a func was written")
	}
	if err := j.Append("phase", 0, nil); err != nil {
		t.Error(err)
	}
}

func TestEveryFlippedByteBeforeTheLastLineIsFound(t *testing.T) {
	_, raw := written(t, 4)
	last := bytes.LastIndexByte(raw[:len(raw)-1], '\n') + 1
	for i := range last {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		if _, err := Read(bytes.NewReader(forged)); !errors.Is(err, ErrTampered) {
			t.Fatalf("byte %d (%q): err = %v, want ErrTampered", i, raw[i], err)
		}
	}
}

func TestLinesRemovedMovedOrAddedAreFound(t *testing.T) {
	_, raw := written(t, 4)
	l := bytes.SplitAfter(raw, []byte("\n"))[:4]
	for name, lines := range map[string][][]byte{
		"first removed":  {l[1], l[2], l[3]},
		"middle removed": {l[0], l[2], l[3]},
		"swapped":        {l[0], l[2], l[1], l[3]},
		"repeated":       {l[0], l[1], l[1], l[2], l[3]},
		"empty line":     {l[0], []byte("\n"), l[1]},
		"two in a line":  {bytes.TrimSpace(l[0]), l[1]},
	} {
		if _, err := Read(bytes.NewReader(bytes.Join(lines, nil))); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: err = %v, want ErrTampered", name, err)
		}
	}
}

func TestHeadTellsThatTheEndWasChangedOrCutOff(t *testing.T) {
	path, raw := written(t, 3)
	j, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	last := bytes.LastIndexByte(raw[:len(raw)-1], '\n') + 1
	for name, forged := range map[string][]byte{
		"changed": bytes.Replace(raw, []byte("p2"), []byte("p9"), 1),
		"cut off": raw[:last],
	} {
		s, err := Verify(bytes.NewReader(forged))
		if err != nil {
			t.Fatal(err)
		}
		if s.Head == j.Head() {
			t.Errorf("%s: head is the same", name)
		}
	}
	if s, err := Verify(bytes.NewReader(raw)); err != nil || s != (Summary{Entries: 3, Head: j.Head()}) {
		t.Errorf("summary = %+v, %v; want 3 entries and head %s", s, err, j.Head())
	}
}

func TestEveryTornTailIsReportedApart(t *testing.T) {
	_, raw := written(t, 3)
	starts := []int{0}
	for i, b := range raw {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	whole := 0
	for size := range len(raw) {
		if size == starts[whole+1] {
			whole++
		}
		entries, err := Read(bytes.NewReader(raw[:size]))
		var torn *TornError
		if size == starts[whole] {
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
		} else if !errors.As(err, &torn) || torn.Offset != int64(starts[whole]) || torn.Bytes != size-starts[whole] {
			t.Fatalf("%d bytes: err = %v, want a torn tail at %d", size, err, starts[whole])
		}
		if len(entries) != whole {
			t.Fatalf("%d bytes: %d entries, want %d", size, len(entries), whole)
		}
	}
}

func TestOpenContinuesTheChainAfterATornTail(t *testing.T) {
	path, raw := written(t, 3)
	if err := os.Truncate(path, int64(len(raw)-5)); err != nil {
		t.Fatal(err)
	}
	j, entries, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if len(entries) != 2 {
		t.Errorf("%d entries, want 2", len(entries))
	}
	if err := j.Append("end", 0, nil); err != nil {
		t.Fatal(err)
	}
	raw, _ = os.ReadFile(path)
	if entries, err = Read(bytes.NewReader(raw)); err != nil || len(entries) != 3 || entries[2].Type != "end" {
		t.Errorf("entries = %v, %v; want 3, the last an end", entries, err)
	}
}

func TestOpenRefusesATamperedJournal(t *testing.T) {
	path, raw := written(t, 3)
	if err := os.WriteFile(path, bytes.Replace(raw, []byte("p0"), []byte("p9"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(path); !errors.Is(err, ErrTampered) {
		t.Errorf("err = %v, want ErrTampered", err)
	}
}

func TestWhatWasAppendedIsThereAfterKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), writerPath+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	safe, lines := 0, bufio.NewScanner(out)
	for lines.Scan() {
		safe, _ = strconv.Atoi(lines.Text())
		if safe == 50 {
			child.Process.Kill()
		}
	}
	child.Wait()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(bytes.NewReader(raw))
	if err != nil || s.Entries < safe || safe < 50 {
		t.Errorf("%d entries, %v; want at least %d", s.Entries, err, safe)
	}
}

func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "j")
	j, err := Create(path)
	if err != nil {
		f.Fatal(err)
	}
	j.Append("phase", time.Second, phase{"baseline"})
	j.Append("end", 2*time.Second, nil)
	raw, _ := os.ReadFile(path)
	f.Add(raw)
	f.Add(raw[:len(raw)-3])
	f.Add([]byte("{}\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := Read(bytes.NewReader(raw))
		var torn *TornError
		if err != nil && !errors.As(err, &torn) && !errors.Is(err, ErrTampered) {
			t.Fatalf("unknown error %v", err)
		}
		for i, e := range entries {
			if e.Seq != int64(i)+1 {
				t.Fatalf("entry %d has seq %d", i, e.Seq)
			}
		}
	})
}
